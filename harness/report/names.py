"""How arms are called and coloured, and how numbers are written: the same in tables, charts and the leaderboard."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any, TypeGuard

from harness.vocabulary import BASELINE, VLLM

#: What a config key is called where people read it; any other key stands for itself.
ARM_NAMES = {
    BASELINE: "Baseline",
    "mtp": "MTP",
    "dflash": "DFlash",
    "lookup": "Prompt lookup",
    "oracle": "Oracle",
    "random": "Random",
}
#: Kinds that calibrate the harness. They stand in the tables, never in a headline, and in no ranking.
CONTROL_KINDS = (BASELINE, "lookup", "oracle", "random", "synthetic")

NONE = "–"
UNSPEAKABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")


def arm_name(arm: str) -> str:
    """An arm's name as people read it; `vllm_mtp` is `MTP in vLLM`."""
    own = arm.removeprefix(f"{VLLM}_")
    return ARM_NAMES.get(arm, arm) if own == arm else f"{ARM_NAMES.get(own, own)} in vLLM"


def is_control(kind: object) -> bool:
    """Whether a drafter of this kind calibrates the harness: it is shown, and neither leads nor is ranked."""
    return kind in CONTROL_KINDS


def clean(text: object) -> str:
    """`text` without what no XML file or UTF-8 stream can hold: control characters and lone surrogates."""
    return UNSPEAKABLE.sub("\N{REPLACEMENT CHARACTER}", str(text))


def known(value: Any) -> TypeGuard[float]:
    """Whether `value` is a number that can be shown."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def number(value: Any, digits: int = 2, unit: str = "") -> str:
    """`value` with thousands separated by thin spaces, a dash where it is unknown."""
    return f"{value:,.{digits}f}".replace(",", "\N{NARROW NO-BREAK SPACE}") + unit if known(value) else NONE


def times(value: Any) -> str:
    """A ratio: `2.45×`."""
    return number(value, 2, "×")


def percent(value: Any, digits: int = 1) -> str:
    """A share: `43.1 %`."""
    return number(100 * value, digits, "\N{NO-BREAK SPACE}%") if known(value) else NONE


def span(low: Any, high: Any) -> str:
    """An interval: `2.30 to 2.61`, a dash where there is none."""
    return f"{low:.2f} to {high:.2f}" if known(low) and known(high) else NONE


def bytes_text(value: Any) -> str:
    """Bytes in the unit that leaves one to three digits before the point; the sign stays."""
    if not known(value):
        return NONE
    size, units = float(value), ["B", "KiB", "MiB", "GiB", "TiB"]
    while abs(size) >= 1000 and len(units) > 1:
        size /= 1024
        units.pop(0)
    return f"{size:.0f} B" if units[0] == "B" else f"{size:.1f} {units[0]}"


def confidence_text(summary: Mapping[str, Any]) -> str:
    """`95 %`, from what the summary says of itself."""
    return percent(summary.get("confidence", 0.95), 0)


def listed(words: list[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}" if words else ""

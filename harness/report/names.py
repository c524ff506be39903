"""Names of arms and numbers as text: the same in the console, tables, charts and the leaderboard."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any, TypeGuard

from drafters.registry import kind_of
from harness.vocabulary import BASELINE, ENGINE_TITLES, ENGINES, HARNESS

NONE = "–"
#: The typography of numbers, as ASCII without thousands separators.
ASCII = str.maketrans({"×": "x", "–": "-", "\N{NO-BREAK SPACE}": " ", "\N{NARROW NO-BREAK SPACE}": None})
UNSPEAKABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")


def arm_name(arm: str) -> str:
    """An arm's name for people; `vllm_mtp` is `MTP in vLLM`."""
    engine = next((name for name in ENGINES if name != HARNESS and arm.startswith(f"{name}_")), None)
    own = arm if engine is None else arm.removeprefix(f"{engine}_")
    title = "Baseline" if own == BASELINE else kind_of(own).title or own
    return title if engine is None else f"{title} in {ENGINE_TITLES[engine]}"


def is_control(kind: object) -> bool:
    """Whether drafters of this kind calibrate the harness: they are shown, but neither lead nor are ranked."""
    return kind == BASELINE or kind_of(str(kind)).control


def clean(text: object) -> str:
    """`text` with control characters and lone surrogates replaced: no XML file or UTF-8 stream can hold them."""
    return UNSPEAKABLE.sub("\N{REPLACEMENT CHARACTER}", str(text))


def known(value: Any) -> TypeGuard[float]:
    """Whether `value` is a finite number."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def number(value: Any, digits: int = 2, unit: str = "", *, signed: bool = False) -> str:
    """`value` with so many decimals and thin spaces between thousands; a dash if unknown."""
    if not known(value):
        return NONE
    sign = "+" if signed else ""
    return f"{value:{sign},.{digits}f}".replace(",", "\N{NARROW NO-BREAK SPACE}") + unit


def compact(value: float, digits: int = 6) -> str:
    """`value` to so many significant digits, without trailing zeros: `0.7`, `40.3`, `16`."""
    return f"{value:.{digits}g}"


def times(value: Any) -> str:
    """A ratio: `2.45×`."""
    return number(value, 2, "×")


def percent(value: Any, digits: int = 1, *, signed: bool = False) -> str:
    """A share: `43.1 %`."""
    return number(100 * value, digits, "\N{NO-BREAK SPACE}%", signed=signed) if known(value) else NONE


def span(low: Any, high: Any) -> str:
    """An interval: `2.30 to 2.61`, a dash if there is none."""
    return f"{number(low)} to {number(high)}" if known(low) and known(high) else NONE


def bytes_text(value: Any) -> str:
    """Bytes in the unit that leaves one to three digits before the point: `1.0 GiB`, `-1.9 MiB`."""
    if not known(value):
        return NONE
    size, units = float(value), ["B", "KiB", "MiB", "GiB", "TiB"]
    while abs(size) >= 1000 and len(units) > 1:
        size /= 1024
        units.pop(0)
    return f"{size:.0f} B" if units[0] == "B" else f"{size:.1f} {units[0]}"


def confidence_text(summary: Mapping[str, Any]) -> str:
    """The confidence of a summary's intervals: `95 %`."""
    return percent(summary.get("confidence", 0.95), 0)


def in_ascii(text: str) -> str:
    """A number's text for terminals and logs: `2.45x`, `-`, `43.1 %`, `12345.6`."""
    return text.translate(ASCII)


def listed(words: list[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}" if words else ""


def stopped_text(summary: Mapping[str, Any]) -> str:
    """A sentence on the end of a run that may stop early; empty for any other run."""
    stopped, rule = summary.get("stopped"), summary.get("until")
    if not stopped or not rule:
        return ""
    ends = {
        "decided": "Stopped as decided",
        "max_prompts": "Not decided within the prompts that it may take",
        "unfinished": "Unfinished and not decided yet",
    }
    asked = [f"{name.replace('_', '-')} {percent(rule[name])}" for name in ("half_width", "margin") if rule.get(name)]
    prompts, looks = stopped["prompts"], stopped["looks"]
    seen = f"{prompts} of at most {rule['most']} prompts and {looks} {'look' if looks == 1 else 'looks'}"
    return f"{ends.get(stopped['reason'], stopped['reason'])} after {seen} ({', '.join(asked)})."


def run_to_run_text(summary: Mapping[str, Any]) -> str:
    """A sentence on the variation from run to run; empty for a summary of an earlier version, or without a speedup."""
    known_of = summary.get("run_to_run")
    if not known_of or not any(known(row.get("speedup_decode")) for row in summary.get("rows", [])):
        return ""
    if known_of["processes"] > 1:
        return f"The intervals are over prompts and {known_of['processes']} fresh processes."
    text = "The intervals are over prompts in one process: the variation from run to run is not in them"
    seen = []
    for one in known_of["earlier"]:
        against = "" if one["other"] == BASELINE else f" against {arm_name(clean(one['other']))}"
        count = one["processes"]
        gave = number(one["low"]) if count == 1 else f"{span(one['low'], one['high'])} in {count} processes"
        seen.append(f"{arm_name(clean(one['arm']))}{against} {gave}")
    if not seen:
        return f"{text} (restarts=3)."
    return f"{text}; earlier runs of this configuration here gave {', '.join(seen)}."

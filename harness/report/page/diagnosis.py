"""The diagnosis of a run's drafters as rows of its page."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.records.files import DIAGNOSIS
from harness.records.stored import read_object, warn_once
from harness.report.names import arm_name, clean, known, number, span

SHOWN = 6  # wirings of a drafter, the best first


@dataclass(frozen=True, slots=True)
class Row:
    """One wiring of one drafter, in words."""

    arm: str
    wiring: str
    accepted: str
    gain: str
    verdict: str


def read_diagnoses(run_dir: Path) -> dict[str, Any]:
    """The run's diagnoses by arm; empty for a run without, or with a damaged file."""
    path = run_dir / DIAGNOSIS
    found = read_object(path, "the page has no diagnosis") or {}
    sound = {arm: one for arm, one in found.items() if isinstance(one, dict)}
    if len(sound) < len(found):
        warn_once(f"{path} is damaged: the page lacks the diagnosis of {', '.join(found.keys() - sound.keys())}")
    return sound


def rows(diagnoses: Mapping[str, Any]) -> list[Row]:
    """Per arm the wiring as read and the best others."""
    found = []
    for arm, one in diagnoses.items():
        name = arm_name(clean(arm))
        others = [row for row in one.get("wirings") or [] if isinstance(row, dict) and known(row.get("gain"))]
        best = sorted(others, key=lambda row: -row["gain"])
        worse = bool(one.get("better"))
        verdict = "probably read wrongly" if worse else "no other is better"
        found.append(Row(name, "as read", number((one.get("accepted") or {}).get("value")), "", verdict))
        for row in best[:SHOWN]:
            apart = f"{number(row['gain'], signed=True)} ({span(row.get('gain_low'), row.get('gain_high'))})"
            same = bool(row.get("same_drafts"))
            key = f"better, decided by {clean(row.get('key') or 'no entry of its config')}" if row.get("better") else ""
            found.append(Row(name, clean(str(row.get("wiring"))), number(row.get("accepted")),
                             "the same drafts" if same else apart, key))  # fmt: skip
    return found

"""The diagnosis of a run: its drafters, one after the other, kept beside its records."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from drafters.errors import InputError
from drafters.registry import resolve_draft_tokens
from harness.comparison.diagnosis.measure import ANCHORS, Diagnosis, Other, accepted, diagnose
from harness.comparison.diagnosis.recorded import (
    Decoded,
    answers_of,
    choose_arms,
    decoded_rounds,
    open_drafter,
    open_target,
    read_recording,
)
from harness.comparison.diagnosis.words import lines, result
from harness.metrics.anchors.reliability import by_position
from harness.records.files import DIAGNOSIS, replace_file
from harness.records.progress import warn
from harness.target.target import Target


@dataclass(frozen=True, slots=True)
class Report:
    """One drafter's diagnosis, in words and for scripts."""

    found: Diagnosis
    decoded: Decoded | None

    @property
    def lines(self) -> list[str]:
        return list(lines(self.found, self.decoded))

    @property
    def result(self) -> dict[str, Any]:
        return result(self.found)

    @property
    def kept(self) -> dict[str, Any]:
        """The result, every wiring, and the confidence's calibration per position, as the run's folder keeps it."""
        found = self.found
        return {
            **self.result,
            "k": found.k,
            "answers": found.answers,
            "places": len(found.sampled),
            "accepted": asdict(accepted(found.sampled)),
            "rounds": asdict(accepted(found.walked)),
            "wirings": [wiring_row(one) for one in found.others],
            "absent": [{"wiring": one.name, "key": one.key, "reason": one.reason} for one in found.absent],
            "confidence_of": found.confidence_of,
            "confidence": [asdict(one) for one in by_position(found.sampled)],
        }


def wiring_row(one: Other) -> dict[str, Any]:
    gain = {f"gain_{name}": value for name, value in (("low", one.gain.low), ("high", one.gain.high))}
    return {
        "wiring": one.wiring.name, "key": one.wiring.key, "accepted": accepted(one.anchors).value,
        "gain": one.gain.value, **gain, "same_drafts": one.same_drafts, "better": one.is_better,
    }  # fmt: skip


def diagnose_run(
    folder: str | Path,
    name: str | None = None,
    anchors: int | None = ANCHORS,
    *,
    target: Target | None = None,
    drafters: Mapping[str, Any] | None = None,
    say: Callable[[str], None] = lambda text: None,
) -> Iterator[Report]:
    """Every trained drafter of the run in `folder`, or the one called `name`; `diagnosis.json` is written at the end.

    `target` and `drafters` are used where they are loaded already. Raises InputError as `read_recording`.
    """
    recording = read_recording(folder)
    arms = choose_arms(recording, name)
    target = target or open_target(recording)
    kept: dict[str, Any] = {}
    for arm in arms:
        drafter = (drafters or {}).get(arm.name) or open_drafter(arm, target)
        k = resolve_draft_tokens(arm.kind, recording.k(arm), drafter.max_draft_tokens)
        answers = answers_of(recording, arm.name, target.vocab_size)
        found = diagnose(target, drafter, answers, k, name=arm.name, anchors=anchors, say=say)
        report = Report(found, decoded_rounds(recording, arm.name, answers))
        kept[arm.name] = report.kept
        yield report
    replace_file(recording.folder / DIAGNOSIS, json.dumps(kept, indent=1) + "\n")


def diagnose_after(
    folder: Path, target: Target | None, drafters: Mapping[str, Any], say: Callable[[str], None]
) -> None:
    """The diagnosis that ends a run, line by line to `say`. It is no record: a fault costs a warning."""
    try:
        for report in diagnose_run(folder, target=target, drafters=drafters):
            for line in report.lines:
                say(line)
    except InputError as error:
        warn(f"no diagnosis: {error}")
    except Exception as error:
        warn(f"no diagnosis: {type(error).__name__}: {error}; `drafthouse diagnose {folder}` tries again")

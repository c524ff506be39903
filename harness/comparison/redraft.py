"""Drafts again at every smaller k, from the answers of a finished run, where a smaller k drafts otherwise.

A block drafter at a smaller k sees fewer masks, so its drafts cannot be read off those of a larger block. The target
passes once over prompt and answer; the drafter then walks along the answer as in decoding, with the target's verdict
read off the answer. This is exact for greedy decoding, where the answer does not depend on k, and costs drafting
alone.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from drafters.base import Drafter
from drafters.wirings.base import Wiring
from harness.comparison.diagnosis.forcing import Answered, batches, draft_along, next_round, show
from harness.records.files import REDRAFTED, replace_file
from harness.records.journal import GenerationKey
from harness.target.target import Target

ROWS = 16  # answers side by side


@dataclass(frozen=True, slots=True)
class Recorded:
    """A finished generation: its prompt and its answer as token ids, and its arm's k."""

    key: GenerationKey
    prompt: Sequence[int]
    answer: Sequence[int]
    k: int


def redraft(target: Target, drafter: Drafter, recorded: Sequence[Recorded]) -> Iterator[dict[str, object]]:
    """One line for each generation and smaller k: the generation's key, k, rounds and accepted drafts, which are cut at
    the answer's end."""
    drafter.serving = None  # no decoder holds its rows any more
    as_it_is = Wiring("as it is", "", lambda watch: drafter, drafter.taps)
    answers = [Answered(number, number, one.prompt, one.answer) for number, one in enumerate(recorded)]
    most = max((one.k for one in recorded), default=0)
    for batch in batches(answers, ROWS):
        shown = show(target, batch, drafter.taps, 2 * (most + 2))
        for k in range(1, most):
            found = draft_along(target, as_it_is, shown, k, next_round, k + 1)
            for one in batch:
                if k < recorded[one.number].k:
                    accepted = found.stood[found.answer == one.number].tolist()  # in the order of their places
                    yield {
                        **recorded[one.number].key._asdict(), "k": k, "rounds": len(accepted), "accepted": accepted,
                    }  # fmt: skip


def write_redrafted(run_dir: Path, lines: Sequence[dict[str, object]]) -> None:
    """Keep the lines beside the records."""
    replace_file(run_dir / REDRAFTED, "".join(json.dumps(line) + "\n" for line in lines))

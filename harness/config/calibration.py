"""`calibration` and `curve`: the best k of each arm, searched for before a run, and predicted from it."""

from __future__ import annotations

from dataclasses import dataclass

from drafters.errors import InputError
from harness.config.checks import LARGEST, count


@dataclass
class CalibrationConfig:
    """Candidates for k, None for no calibration; each decodes `prompts` prompts of `max_new_tokens` tokens."""

    num_draft_tokens: list[int] | None = None
    prompts: int = 4
    max_new_tokens: int = 64

    def __post_init__(self) -> None:
        if self.num_draft_tokens is not None:
            if not all(1 <= k <= LARGEST for k in self.num_draft_tokens or [0]):
                raise InputError(
                    f"calibration.num_draft_tokens={self.num_draft_tokens}: expected a list of whole numbers from 1 on"
                )
            self.num_draft_tokens = sorted(set(self.num_draft_tokens))
        for key, least in (("prompts", 1), ("max_new_tokens", 2)):
            count(getattr(self, key), f"calibration.{key}", least)


@dataclass
class CurveConfig:
    """`redraft`: draft again at every smaller k where it would draft otherwise, from the recorded answers."""

    redraft: bool = False

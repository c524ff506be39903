"""`sweep`: how the jobs of a sweep bear on each other."""

from __future__ import annotations

from dataclasses import dataclass

from drafters.errors import InputError
from harness.config.checks import count


@dataclass
class SweepConfig:
    """`objective` is the figure that a job returns and a search of so many `trials` maximises; `share_baseline` lets a
    job take over another's baseline.
    """

    objective: str | None = None
    trials: int | None = None
    share_baseline: bool = False

    def __post_init__(self) -> None:
        count(self.trials, "sweep.trials")
        if self.trials is not None and self.objective is None:
            raise InputError(f"sweep.trials={self.trials} without sweep.objective: expected the figure to maximise")
        if self.objective is not None and self.objective.count("/") != 1:
            raise InputError(
                f"sweep.objective={self.objective}: expected ARM/FIGURE, such as dflash/speedup_decode, "
                "best/speedup_decode or dflash_vs_mtp/speedup_decode"
            )

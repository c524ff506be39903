"""`until`: a run that stops once its comparisons are decided."""

from __future__ import annotations

from dataclasses import dataclass

from drafters.errors import InputError
from harness.config.checks import at_least, count

#: Prompts below which no interval is given, so there is nothing to look at.
FEWEST = 5


@dataclass
class UntilConfig:
    """Stop once every interval of a decode speedup is narrow enough, decided, or both; None leaves a rule out.

    `half_width` is relative: 0.05 for x1.05 either way. `margin` decides: faster, slower, or equal within it.
    """

    half_width: float | None = None
    margin: float | None = None
    min_prompts: int = 10
    max_prompts: int | None = None

    def __post_init__(self) -> None:
        for key, most in (("half_width", 10.0), ("margin", 1.0)):
            value = getattr(self, key)
            at_least(value, 0.0, f"until.{key}", most)
            if value == 0:
                raise InputError(f"until.{key}=0: expected more than 0, or null")
        count(self.min_prompts, "until.min_prompts", FEWEST)
        count(self.max_prompts, "until.max_prompts", self.min_prompts)
        if self.max_prompts is not None and not self.asked:
            raise InputError(
                f"until.max_prompts={self.max_prompts}: expected until.half_width or until.margin beside it; "
                "dataset.limit alone takes fewer prompts"
            )

    @property
    def asked(self) -> bool:
        """Whether the run may stop early."""
        return self.half_width is not None or self.margin is not None

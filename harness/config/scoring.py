"""`scoring`: rules that score answers, and the limits under which programs run."""

from __future__ import annotations

from dataclasses import dataclass

from drafters.errors import InputError
from harness.config.checks import LARGEST, at_least

#: Rules that compare answers, rules that run them as programs, and the shipped prompts' own.
EXACT, PROGRAMS, CORPUS = ("number", "math"), ("humaneval", "mbpp"), "corpus"
SCORERS = (*EXACT, *PROGRAMS, CORPUS)


@dataclass
class ScoringConfig:
    """Programs are run only with `execute_code`, each under these limits."""

    execute_code: bool = False
    timeout_s: float = 10.0
    memory_mb: int = 1024

    def __post_init__(self) -> None:
        if not 0 < self.timeout_s <= 600:
            raise InputError(f"scoring.timeout_s={self.timeout_s}: expected more than 0 and at most 600 seconds")
        at_least(self.memory_mb, 0, "scoring.memory_mb", LARGEST)
        if self.memory_mb < 64:
            raise InputError(f"scoring.memory_mb={self.memory_mb}: expected 64 or more, an interpreter needs that much")

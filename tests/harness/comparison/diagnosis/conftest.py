"""The shipped pairs, loaded once, with a few greedy answers of each target."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import pytest

from harness import load_drafter, load_target
from harness.comparison.diagnosis.folders import answered
from harness.comparison.diagnosis.forcing import Answered
from harness.config import asset
from harness.decoding.decoder import DecodeSettings
from harness.decoding.loop import decode
from harness.records.rounds import Generation
from harness.target.target import Target

FOLDERS = {"dense": "", "e2b": "e2b/"}
PROMPTS, TOKENS = 12, 32


class Shipped:
    """One family: its target, and the answers of its target to a few prompts."""

    def __init__(self, family: str) -> None:
        self.k = {"mtp": 4, "dflash": 15}
        self.folder = FOLDERS[family]
        self.target: Target = load_target(self.path("target"), execution="eager")
        self.answers: list[Answered] = answered(self.target, self.path("target"), PROMPTS, TOKENS)

    def path(self, name: str) -> str:
        return asset(self.folder + name)

    def drafter(self, kind: str, path: str | None = None) -> Any:
        return load_drafter(kind, path or self.path(kind), target=self.target)

    def decoded(self, drafter: Any, k: int, answers: Sequence[Answered]) -> list[Generation]:
        """The prompts of `answers` decoded with drafts."""
        settings = DecodeSettings(k, TOKENS, eos_token_ids=self.target.eos_token_ids)
        return [decode(self.target, drafter, [one.prompt], settings)[0] for one in answers]


@pytest.fixture(scope="session")
def shipped() -> Callable[[str], Shipped]:
    return cache(Shipped)

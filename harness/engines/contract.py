"""The contract between a run and another engine: the arm that a run asks for, and the calls that an engine has.

To add an engine, write a class with these calls and add it to `harness.engines.known`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from drafters.registry import EngineMethod, kind_of
from harness.comparison.plan import PlannedArm
from harness.config import RunConfig
from harness.engines.session import Session
from harness.vocabulary import BASELINE


@dataclass(frozen=True, slots=True)
class Asked:
    """One arm as an engine is to decode it. `name` is the run's, `planned` None for the run's baseline.

    `length` is the most tokens that a prompt and its answer take, `context` what the target can hold, `log` the file
    for the output of a process.
    """

    name: str
    planned: PlannedArm | None
    dtype: str
    length: int
    context: int
    log: Path

    @property
    def k(self) -> int:
        return self.planned.k if self.planned is not None else 0

    @property
    def kind(self) -> str:
        return self.planned.arm.kind if self.planned is not None else BASELINE

    def method(self, engine: str) -> EngineMethod | None:
        """The engine's way of drafting for this arm; None for a baseline."""
        return kind_of(self.kind).engines.get(engine)


class Engine(Protocol):
    """An engine: `title` for people, `least_temperature` the lowest above 0 that it samples with unchanged.

    In the dtypes `exact_in` its greedy tokens are judged against the harness's baseline, in others against its own.
    """

    name: str
    title: str
    least_temperature: float
    exact_in: tuple[str, ...]

    def check(self, config: RunConfig) -> None:
        """Raise InputError for keys and options of `config.engine` that the engine cannot take."""
        ...

    def connect(self, config: RunConfig, asked: Asked, url: str) -> Session:
        """A running server. Raises EngineError where it does not answer, InputError where it does not fit the arm."""
        ...

    def start(self, config: RunConfig, asked: Asked) -> Session:
        """A process of our own. Raises EngineError where it does not come up."""
        ...

"""An engine's arms, ready to decode: one session at a time, opened when its arm is first asked for.

The interface is that of `harness.comparison.arms.Arms` (see `comparison.turns.DecodesArms`).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from harness.comparison.arms import WARM_UP_ROUNDS
from harness.comparison.models import resolve_dtype
from harness.comparison.plan import Plan, PlannedArm, sampling_of
from harness.config import RunConfig
from harness.engines.contract import Asked
from harness.engines.known import ENGINES
from harness.engines.session import Request, Session
from harness.engines.worker import EngineError
from harness.records.files import replace_file
from harness.records.progress import warn
from harness.records.rounds import Generation
from harness.records.stored import read_object
from harness.vocabulary import BASELINE

ENGINES_JSON = "engines.json"


def planned_arms(config: RunConfig, plan: Plan) -> dict[str, PlannedArm | None]:
    """The arms that the run's engine decodes, None for the run's own baseline, which no plan lists."""
    drafted = {arm.name: arm for arm in plan.arms if arm.arm.engine == config.engine.name}
    return {BASELINE: None, **drafted} if config.engine.runs_baseline else {**drafted}


def check_servers(config: RunConfig, plan: Plan, length: int) -> None:
    """Raise InputError for a running server that does not fit its arm; one that is silent fails that arm later.

    `length` is the most tokens that a prompt of the run has.
    """
    for name, planned in planned_arms(config, plan).items():
        url = config.engine.url_of(name)
        if url is None:
            continue
        asked = asked_of(config, plan, name, planned, length, Path())
        try:
            ENGINES[config.engine.name].connect(config, asked, url).close()
        except EngineError as error:
            warn(f"{name}: {error}")


def asked_of(
    config: RunConfig, plan: Plan, name: str, planned: PlannedArm | None, longest: int, run_dir: Path
) -> Asked:
    """An arm in the words of an engine."""
    engine = config.engine
    return Asked(
        name,
        planned,
        resolve_dtype(config.target, plan.target_config),
        min(longest + config.max_new_tokens, plan.context),
        plan.context,
        run_dir / f"{engine.name}_{engine.asked_as(name)}.log",
    )


class EngineArms:
    """Decodes with any of the engine's arms by name. `longest` is the most tokens any prompt of the run may have."""

    def __init__(
        self, config: RunConfig, plan: Plan, eos_token_ids: tuple[int, ...], longest: int, run_dir: Path
    ) -> None:
        self.config, self.run_dir = config, run_dir
        self.engine = ENGINES[config.engine.name]
        self.asked = {
            name: asked_of(config, plan, name, planned, longest, run_dir)
            for name, planned in planned_arms(config, plan).items()
        }
        self.k = {name: asked.k for name, asked in self.asked.items()}
        self.kind = {name: asked.kind for name, asked in self.asked.items()}
        self.sampling = sampling_of(config)
        self.eos_token_ids = eos_token_ids
        self.session: Session | None = None
        self.serving: str | None = None
        self.broken: dict[str, Exception] = {}

    def open(self, arm: str) -> Session:
        """The session of `arm`; another arm's is ended first. A start that failed once fails again at once."""
        if arm in self.broken:
            raise self.broken[arm]
        if self.serving != arm or self.session is None:
            self.close()
            try:
                self.session = self.start(arm)
            except Exception as error:
                self.broken[arm] = error
                raise
            self.serving = arm
        return self.session

    def start(self, arm: str) -> Session:
        url = self.config.engine.url_of(arm)
        if url is not None:
            return self.engine.connect(self.config, self.asked[arm], url)
        return self.engine.start(self.config, self.asked[arm])

    def decode(
        self, arm: str, tokens: Sequence[list[int]], seed: int, answers: Sequence[list[int]]
    ) -> list[Generation]:
        """Prompts at once, as many as the group has. Raises EngineError."""
        request = Request(self.config.max_new_tokens, self.eos_token_ids, self.sampling, seed)
        generations = self.open(arm).decode(tokens, request)
        if self.kind[arm] == BASELINE and any(one.drafted for made in generations for one in made.rounds):
            own = f"{self.engine.title}'s own process, as engine.options sets it up,"
            where = self.config.engine.url_of(arm) or own
            raise EngineError(f"{arm} drafted tokens: {where} speculates")
        return generations

    def warm_up(self, arm: str, tokens: Sequence[list[int]], failed: Callable[[str, Exception], None]) -> None:
        """Start `arm` and decode a few uncounted rounds; `failed` takes the arm and the error."""
        length = min(self.config.max_new_tokens, WARM_UP_ROUNDS * (self.k[arm] + 1) + 1)
        try:
            self.open(arm).decode(tokens, Request(length, (), self.sampling, self.config.seed))
        except Exception as error:
            failed(arm, error)

    def drop(self, arm: str) -> None:
        """End an arm's session, as after an error that left it in an unknown state."""
        if self.serving == arm:
            self.close()

    def close(self) -> None:
        """End the session, and describe it in `engines.json`."""
        session, arm = self.session, self.serving
        self.session = self.serving = None
        if session is None or arm is None:
            return
        try:
            self.note(arm, session.describe())
        except Exception as error:
            self.note(arm, {"error": f"{type(error).__name__}: {error}"})
        finally:
            session.close()

    def note(self, arm: str, what: dict[str, Any]) -> None:
        path = self.run_dir / ENGINES_JSON
        known = read_object(path, "it is made anew, without the earlier arms") or {}
        replace_file(path, json.dumps({**known, arm: what}, indent=1, default=str) + "\n")

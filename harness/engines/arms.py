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
from harness.comparison.plan import Plan, sampling_of
from harness.config import RunConfig
from harness.engines.server import ServerSession
from harness.engines.session import ProcessSession, Request, Session, arguments_of
from harness.engines.worker import EngineError
from harness.progress import warn
from harness.records.files import replace_file
from harness.records.rounds import Generation
from harness.records.stored import read_object
from harness.vocabulary import BASELINE

ENGINES_JSON = "engines.json"


def connect(config: RunConfig, arm: str, url: str, k: int) -> ServerSession:
    """The running server of an arm. Raises EngineError where it does not answer, InputError where it does not fit."""
    engine = config.engine
    return ServerSession(url, engine.model, target=str(config.target.path), arm=engine.asked_as(arm), k=k)


def check_servers(config: RunConfig, plan: Plan) -> None:
    """Raise InputError for a running server that does not fit its arm; one that is silent fails that arm later."""
    drafted = {arm.name: arm.k for arm in plan.arms if arm.arm.engine == config.engine.name}
    for arm, k in ({BASELINE: 0} | drafted if config.engine.runs_baseline else drafted).items():
        url = config.engine.url_of(arm)
        try:
            if url is not None:
                connect(config, arm, url, k)
        except EngineError as error:
            warn(f"{arm}: {error}")


class EngineArms:
    """Decodes with any of the engine's arms by name. `longest` is the most tokens any prompt of the run may have."""

    def __init__(
        self, config: RunConfig, plan: Plan, eos_token_ids: tuple[int, ...], longest: int, run_dir: Path
    ) -> None:
        self.config, self.engine, self.run_dir = config, config.engine, run_dir
        planned = {arm.name: arm for arm in plan.arms if arm.arm.engine == self.engine.name}
        self.planned = {BASELINE: None, **planned} if self.engine.runs_baseline else dict(planned)
        self.names = list(self.planned)
        self.k = {name: arm.k if arm is not None else 0 for name, arm in self.planned.items()}
        self.kind = {name: arm.arm.kind if arm is not None else BASELINE for name, arm in self.planned.items()}
        self.dtype = resolve_dtype(config.target, plan.target_config)
        self.context = plan.context
        self.length = min(longest + config.max_new_tokens, self.context)
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
        url = self.engine.url_of(arm)
        if url is not None:
            return connect(self.config, arm, url, self.k[arm])
        target, batch = str(self.config.target.path), self.config.batch_size
        arguments = arguments_of(
            self.engine, self.planned[arm], arm, target, self.dtype, batch, self.length, self.context
        )
        log = self.run_dir / f"{self.engine.name}_{self.engine.asked_as(arm)}.log"
        return ProcessSession(self.engine, arguments, log)

    def decode(
        self, arm: str, tokens: Sequence[list[int]], seed: int, answers: Sequence[list[int]]
    ) -> list[Generation]:
        """Prompts at once, as many as the group has. Raises EngineError."""
        request = Request(self.config.max_new_tokens, self.eos_token_ids, self.sampling, seed)
        generations = self.open(arm).decode(tokens, request)
        if self.kind[arm] == BASELINE and any(one.drafted for made in generations for one in made.rounds):
            where = self.engine.url_of(arm) or "vLLM's own process, as engine.options sets it up,"
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

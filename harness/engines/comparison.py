"""The comparison with another engine: one arm after the other over all prompts, as each needs the device for itself.

Prompts, turns, rows and resumption are those of `harness.comparison.comparison`; order and verdicts are not.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import partial

from harness.comparison.judge import Judge, Judgement, TargetJudge
from harness.comparison.models import Models, TargetFacts
from harness.comparison.plan import Plan
from harness.comparison.recorder import Recorder, Turn
from harness.comparison.resumption import settled
from harness.comparison.schedule import Group
from harness.comparison.turns import Judging, TurnDecoder
from harness.config import RunConfig
from harness.engines.arms import EngineArms
from harness.engines.judge import EngineJudge
from harness.engines.known import ENGINES
from harness.engines.support import differing_conventions
from harness.records import disturbance
from harness.records.journal import GenerationKey
from harness.records.progress import warn
from harness.vocabulary import BASELINE, NO_VERDICT


def of_other_weights(
    judge: Judge, reason: str, prompt_ids: Sequence[int], baseline_ids: Sequence[int], arm_ids: Sequence[int]
) -> Judgement:
    """No verdict on a baseline whose weights are not the harness's; the detail says where the two part."""
    kind, detail = judge(prompt_ids, baseline_ids, arm_ids)
    return NO_VERDICT, {"reason": reason, "harness": {"verdict": kind, **(detail or {})}}


class EngineComparison:
    """Decodes groups of prompts with the arms of `config.engine`.

    An arm is judged against its own engine's baseline. Beside the harness's arms, for which `models` are loaded, that
    baseline is judged against the harness's, and every arm's `verdict_detail` holds its verdict against the harness's
    baseline under `harness`. Where the engine computes exactly (`Engine.exact_in`), every arm is judged against the
    harness's baseline; where its weights are others, as quantised ones, its baseline has no verdict.
    """

    def __init__(
        self, config: RunConfig, plan: Plan, target: TargetFacts, models: Models | None, recorder: Recorder
    ) -> None:
        self.config, self.plan, self.target, self.models, self.recorder = config, plan, target, models, recorder
        engine = config.engine
        self.names = [BASELINE] if engine.runs_baseline else []
        self.names += [arm.name for arm in plan.arms if arm.arm.engine == engine.name]
        own = f"{engine.name}_{BASELINE}"
        self.baseline = own if own in self.names else BASELINE
        self.answered: dict[tuple[int, ...], list[int]] = {}  # rendered prompt -> the engine's baseline's tokens

    def decode_all(self, groups: Sequence[Group]) -> None:
        """Every arm over all groups in order. Raises GuardError when numbers come out that cannot be true."""
        recorder, config = self.recorder, self.config
        against = (BASELINE, self.baseline)
        done = settled(
            recorder.journal.rows, self.names, baselines=against, together=False, retry_errors=config.retry_errors
        )
        done = {key for key in done if key.repeat in recorder.repeats}
        recorder.progress.skip(len(done))
        if len(done) >= recorder.expected(groups) * len(self.names):
            return
        eos, run_dir = self.target.eos_token_ids, recorder.journal.run_dir
        arms = EngineArms(config, self.plan, eos, recorder.longest(groups), run_dir)
        for line in differing_conventions(config, {} if self.models is None else self.models.drafters):
            warn(line)
        judge = self.judge(arms)
        try:
            for arm in self.names:
                self.decode_with(arm, arms, judge, groups, done)
        finally:
            arms.close()

    def judge(self, arms: EngineArms) -> Judge:
        """By the logits of the loaded target where there is one, else by those of the session that is open."""
        if self.models is not None:
            return TargetJudge(self.models.target, self.config.decoding)
        return EngineJudge(lambda: arms.session, self.config.decoding, self.target.dtype, self.target.vocab_size)

    def decode_with(
        self, arm: str, arms: EngineArms, judge: Judge, groups: Sequence[Group], done: set[GenerationKey]
    ) -> None:
        """One arm over every turn of every prompt."""
        recorder, engine = self.recorder, self.config.engine
        if sum(key.arm == arm for key in done) < recorder.expected(groups):
            recorder.progress.show(f"starting {arm}")
            arms.warm_up(
                arm,
                recorder.first_tokens(groups[0]),
                lambda name, error: recorder.log_error(f"start of {name}", error),
            )
            recorder.progress.restart()

        def processes() -> list[int] | None:
            """This process and the workers below it; a server's processes are out of sight."""
            return disturbance.relatives(os.getpid()) if engine.url_of(arm) is None else None

        def against_both(prompt_ids: Sequence[int], baseline_ids: Sequence[int], arm_ids: Sequence[int]) -> Judgement:
            """The verdict against the engine's own baseline, with that against the run's beside it."""
            run_kind, run_detail = judge(prompt_ids, baseline_ids, arm_ids)
            kind, detail = judge(prompt_ids, self.answered.get(tuple(prompt_ids), []), arm_ids)
            return kind, {**(detail or {}), "harness": {"verdict": run_kind, **(run_detail or {})}}

        judging: Judging = judge if self.baseline == BASELINE or arm == self.baseline else against_both
        weights = arms.session.weights if arms.session is not None else None
        if self.models is not None and weights is not None and arm == self.baseline:
            judging = partial(of_other_weights, judge, f"its weights are {weights}, the harness's {self.target.dtype}")
        elif self.models is not None and weights is None and self.target.dtype in ENGINES[engine.name].exact_in:
            judging = judge
        decoder = TurnDecoder(recorder, arms, judging, done, processes, engine=engine.name)
        for turn in recorder.turns(groups):
            decoder.decode_turn(turn, [arm])
            self.remember(turn)

    def remember(self, turn: Turn) -> None:
        """Keep the answers of the engine's baseline, against which its other arms are judged."""
        for prompt_id, one in turn.rendered.items():
            row = self.recorder.journal.rows.get(GenerationKey(prompt_id, turn.number, self.baseline, 0), {})
            self.answered[tuple(one.token_ids)] = row.get("token_ids") or []

"""The comparison with another engine: one arm after the other over all prompts, as each needs the device for itself.

Everything but the order is `harness.comparison.comparison`: the same prompts, turns, rows, verdicts and resumption.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from harness.comparison.comparison import Comparison, Conversation
from harness.comparison.judge import Judge
from harness.comparison.models import Models
from harness.comparison.plan import Plan
from harness.comparison.resumption import settled
from harness.comparison.schedule import Group
from harness.comparison.watchdog import Watch
from harness.config import RunConfig
from harness.engines.arms import EngineArms
from harness.engines.judge import EngineJudge
from harness.engines.stand_in import StandIn
from harness.engines.support import differing_conventions
from harness.progress import RunProgress, warn
from harness.records import disturbance
from harness.records.journal import GenerationKey, Journal
from harness.tasks.chat import Chat, Rendered
from harness.vocabulary import BASELINE


class EngineComparison(Comparison):
    """Decodes with the engine's arms and appends what comes out to the journal.

    An arm is judged against its own engine's baseline. Beside the harness's arms that baseline is judged against the
    harness's, and every arm's `verdict_detail` says under `harness` how it stands to that one.
    """

    arms: Any

    def __init__(
        self, config: RunConfig, plan: Plan, models: Models, chat: Chat, journal: Journal, progress: RunProgress
    ) -> None:
        super().__init__(config, plan, models, chat, journal, progress)
        engine = config.engine
        self.engine = engine.name
        self.names = [BASELINE] if engine.runs_baseline else []
        self.names += [arm.name for arm in plan.arms if arm.arm.engine == engine.name]
        own_baseline = f"{engine.name}_{BASELINE}"
        self.engine_baseline = own_baseline if own_baseline in self.names else BASELINE
        against = (BASELINE, self.engine_baseline)
        self.done = settled(
            journal.rows, self.names, baselines=against, together=False, retry_errors=config.retry_errors
        )
        self.current = BASELINE
        self.answered: dict[tuple[int, ...], list[int]] = {}  # rendered prompt -> the engine's baseline's tokens
        self.own_judge: Judge = self.judge
        if isinstance(models.target, StandIn):
            stand_in = models.target
            self.own_judge = EngineJudge(self.session, config.decoding, stand_in.dtype, stand_in.vocab_size)
        self.judge = self.judged  # type: ignore[assignment]

    def family(self) -> list[int] | None:
        """This process and the workers below it; a server's processes are out of sight."""
        return disturbance.relatives(os.getpid()) if self.config.engine.url_of(self.current) is None else None

    def session(self) -> Any:
        return self.arms.session

    def run(self, groups: Sequence[Group]) -> None:
        """Every arm over all groups in order. Raises GuardError when numbers come out that cannot be true."""
        longest = max(self.longest(prompt) for group in groups for prompt in group.prompts)
        eos, run_dir = self.target.eos_token_ids, self.journal.run_dir
        self.arms = EngineArms(self.config, self.plan, eos, min(longest, self.plan.context), run_dir)
        self.watch = Watch(self.arms.kind)
        for planned in self.plan.arms:
            drafter = self.models.drafters.get(planned.name)
            for line in differing_conventions(planned.arm, drafter):
                warn(line)
        try:
            for arm in self.names:
                self.current = arm
                if not self.finished(arm, groups):
                    self.progress.show(f"starting {arm}")
                    first = [self.chat.render(prompt, []).token_ids for prompt in groups[0].prompts]
                    self.arms.warm_up(arm, first, lambda name, error: self.log_error(f"start of {name}", error))
                    self.progress.restart()
                self.run_arm(groups)
        finally:
            self.arms.close()

    def finished(self, arm: str, groups: Sequence[Group]) -> bool:
        """Whether an earlier attempt decoded all of `arm`."""
        expected = sum(group.turns * len(group.prompts) for group in groups) * self.config.repeats
        return sum(key.arm == arm for key in self.done) >= expected

    def run_arm(self, groups: Sequence[Group]) -> None:
        """`current` over every turn of every prompt."""
        unit = 0
        for group in groups:
            conversations = [Conversation(prompt) for prompt in group.prompts]
            for turn in range(group.turns):
                rendered = self.render_turn(conversations, turn)
                for repeat in range(self.config.repeats):
                    self.compare(group, conversations, rendered, turn, repeat, unit)
                    self.remember(rendered, turn)
                    self.watch.check()
                unit += 1
                self.take_answers(conversations, turn)

    def order(self, unit: int, repeat: int) -> list[str]:
        return [self.current]

    def remember(self, rendered: dict[str, Rendered], turn: int) -> None:
        """Keep the engine's baseline's answers, which its other arms are held against."""
        for prompt_id, one in rendered.items():
            row = self.journal.rows.get(GenerationKey(prompt_id, turn, self.engine_baseline, 0), {})
            self.answered[tuple(one.token_ids)] = row.get("token_ids") or []

    def judged(
        self, prompt_ids: Sequence[int], baseline_ids: Sequence[int], arm_ids: Sequence[int]
    ) -> tuple[str, dict[str, Any] | None]:
        """The verdict against the engine's own baseline, with that against the run's beside it where it is another."""
        against_run = self.own_judge(prompt_ids, baseline_ids, arm_ids)
        if self.current == self.engine_baseline or self.engine_baseline == BASELINE:
            return against_run
        kind, detail = self.own_judge(prompt_ids, self.answered.get(tuple(prompt_ids), []), arm_ids)
        return kind, {**(detail or {}), "harness": {"verdict": against_run[0], **(against_run[1] or {})}}

"""The comparison itself: every arm decodes every prompt, beside each other and in a counterbalanced order.

Arms of a prompt run back to back, so that whatever drifts (clocks, heat, neighbours) falls on all of them.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from functools import partial

from torch import distributed

from drafters.registry import kind_of
from harness.comparison.arms import Arms
from harness.comparison.costs import measure_costs, median_prompts
from harness.comparison.deciding.stopping import Stopping
from harness.comparison.judge import TargetJudge, no_verdict
from harness.comparison.manifest import add_threads
from harness.comparison.models import Models
from harness.comparison.plan import Plan
from harness.comparison.recorder import Recorder, Turn
from harness.comparison.redraft import Recorded, redraft, write_redrafted
from harness.comparison.resumption import settled
from harness.comparison.schedule import Group, arm_order
from harness.comparison.threads import Threads
from harness.comparison.turns import TurnDecoder
from harness.comparison.width_probe import write_width_probe
from harness.config import RunConfig
from harness.decoding import pool
from harness.decoding.auto import unlike_passes
from harness.records import disturbance
from harness.records.costs import read_costs, write_costs
from harness.records.journal import GenerationKey
from harness.records.progress import warn
from harness.vocabulary import BASELINE, HARNESS, OK

PROBED_TOKENS = 32  # of a prompt, as the prefill of a probe is only waited for


class Comparison:
    """Decodes groups of prompts with the harness's arms."""

    def __init__(
        self,
        config: RunConfig,
        plan: Plan,
        models: Models,
        recorder: Recorder,
        threads: Threads,
        stopping: Stopping | None = None,
    ) -> None:
        self.config, self.plan, self.models, self.recorder = config, plan, models, recorder
        self.threads, self.stopping = threads, stopping
        self.names = [BASELINE, *models.drafters]

    def decode_all(self, groups: Sequence[Group]) -> None:
        """Warm up, then all groups in order. Raises GuardError when numbers come out that cannot be true."""
        recorder, config = self.recorder, self.config
        done = settled(recorder.journal.rows, self.names, together=True, retry_errors=config.retry_errors)
        done = {key for key in done if key.repeat in recorder.repeats}
        if self.stopping is not None:
            groups = self.stopping.needed(recorder.journal.rows, self.complete(groups, done))
        recorder.progress.skip(len(done))
        if len(done) >= recorder.expected(groups) * len(self.names):
            return
        arms = Arms(config, self.plan.arms, self.models, recorder.longest(groups))
        first = recorder.first_tokens(groups[0])
        arms.warm_up(
            first,
            recorder.lengths_ahead(groups, self.names, done),
            recorder.progress.announce,
            lambda arm, error: recorder.log_error(f"warm-up of {arm}", error),
        )
        self.models.guards += unlike_passes(arms.failures, arms.apart)
        if self.models.target.execution == "compile":
            short = [tokens[:PROBED_TOKENS] for tokens in first]
            before = self.threads.choice
            self.threads.probe([partial(arms.rounds, arm, short) for arm in arms.names])
            if self.threads.choice is not before:
                self.note_threads()
        if config.costs:
            self.write_costs(arms, groups, done)
        if not config.synthetic:  # it explains verdicts, and here there are none
            widths = (k + 1 for k in arms.k.values())
            write_width_probe(recorder.journal.run_dir, self.models.target, first[0], widths)
        recorder.progress.restart()
        judge = no_verdict if config.synthetic else TargetJudge(self.models.target, config.decoding)
        assumed = bool(config.synthetic)
        decoder = TurnDecoder(recorder, arms, judge, done, own_processes, engine=HARNESS, assumed=assumed)
        ahead = groups if self.stopping is None else self.stopping.ahead(recorder.journal.rows)
        asked: list[Turn] = []
        for turn in recorder.turns(ahead):
            if self.threads.between_turns():
                self.note_threads(turn)
            decoder.decode_turn(turn, self.order(turn.place, turn.repeat, arms))
            asked.append(turn)
        if config.curve.redraft:
            self.redraft(arms, asked)

    def redraft(self, arms: Arms, asked: Sequence[Turn]) -> None:
        """Draft the blocks of block drafters again at every smaller k. It is no record: a fault costs a warning."""
        if not self.config.decoding.greedy or self.config.synthetic:
            warn("curve.redraft=true: nothing is drafted again, as answers depend on k unless decoding is greedy")
            return
        rows, lines = self.recorder.journal.rows, list[dict[str, object]]()
        for name in (one.name for one in self.plan.arms if one.native_block is not None and one.name in arms.names):
            self.recorder.progress.announce(f"drafting {name} again")
            pool.drop(arms.target, self.models.drafters[name])
            recorded = [
                Recorded(key, turn.rendered[prompt.prompt_id].token_ids, rows[key]["token_ids"], arms.k[name])
                for turn in asked
                for prompt in turn.prompts
                if (key := turn.key(prompt, name)) in rows and rows[key]["status"] == OK
            ]
            try:
                lines += redraft(arms.target, self.models.drafters[name], recorded)
            except Exception as error:
                self.recorder.log_error(f"drafting {name} again", error)
        write_redrafted(self.recorder.journal.run_dir, lines)

    def complete(self, groups: Sequence[Group], done: set[GenerationKey]) -> set[str]:
        """Ids of the prompts of which nothing is left to decode."""
        counts = Counter(key.prompt_id for key in done)
        each = len(self.names) * self.config.repeats
        asked = [prompt for group in groups for prompt in group.prompts]
        return {prompt.prompt_id for prompt in asked if counts[prompt.prompt_id] >= each * len(prompt.turns)}

    def note_threads(self, turn: Turn | None = None) -> None:
        """Say and keep the thread count that was chosen, before `turn` where decoding had begun."""
        self.recorder.progress.say(f"from here on {self.threads.text}")
        prompt = None if turn is None else turn.group.prompts[0].prompt_id
        add_threads(self.recorder.journal.run_dir, {"before_prompt": prompt, **self.threads.describe()})

    def write_costs(self, arms: Arms, groups: Sequence[Group], done: set[GenerationKey]) -> None:
        """Measure the cost table, unless an earlier start did; the arms are ready for it afterwards. It is no record: a
        fault costs a warning."""
        recorder, run_dir = self.recorder, self.recorder.journal.run_dir
        if read_costs(run_dir) is not None:
            return
        recorder.progress.announce("costs of every k", timed=True)
        ahead = [tokens for group in groups for tokens in recorder.first_tokens(group)]
        lengths = set(recorder.lengths_ahead(groups, self.names, done))
        ahead = [tokens for tokens in ahead if len(tokens) in lengths] or ahead
        prompts = median_prompts(ahead, self.config.batch_size)
        blocks = frozenset(planned.name for planned in self.plan.arms if planned.native_block is not None)
        try:
            write_costs(run_dir, measure_costs(arms, prompts, blocks))
        except Exception as error:
            recorder.log_error("the cost table", error)

    def order(self, place: int, repeat: int, arms: Arms) -> list[str]:
        """The counterbalanced order, with an oracle after the baseline that it replays."""
        order = arm_order(arms.names, place, repeat)
        early = [arm for arm in order[: order.index(BASELINE)] if kind_of(arms.kind[arm]).replays]
        rest = [arm for arm in order if arm not in early]
        after = rest.index(BASELINE) + 1
        return rest[:after] + early + rest[after:]


def own_processes() -> list[int]:
    """The processes that decode: this one, or all that share a target."""
    shared = distributed.is_available() and distributed.is_initialized() and distributed.get_world_size() > 1
    return disturbance.relatives(os.getppid()) if shared else [os.getpid()]

"""One run from a checked configuration to its files: the main job, without Hydra and without a console.

`run` is the table of contents of the rooms below:

    gather           check configs and prompts, render first turns       config, tasks, comparison.plan
    run_identity     refuse a folder that holds another run              comparison.run_identity, records.identity
    load_models      the weights; engine_facts where an engine loads     comparison.models, engines.facts
    calibrate        the best k of each arm, where asked for             comparison.calibration
    write_manifest   what runs, before the first prompt                  comparison.manifest
    decode_all       every arm over every prompt, into the journal       comparison.comparison, engines.comparison
    summarise        every figure, from the journal alone                metrics.summary
    diagnose_after   wirings of the drafters, where asked for            diagnosis
    write_page       report.html beside the records                      report

Ten calls lead from the command to the loop:

    __main__.main -> job (through Hydra) -> launch.job.run_job -> attempt -> run.run -> Comparison.decode_all
    -> TurnDecoder.decode_turn -> decode_arm -> Arms.decode -> decoding.loop.decode -> loop

Everything that a config or a prompt file shows is checked before weights are read. The run directory is the record;
a run that stops early leaves a summary of its finished part, and the same call continues it.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from drafters.errors import InputError
from harness.comparison.borrowing import borrow
from harness.comparison.calibration import SampleBatch, calibrate
from harness.comparison.comparison import Comparison
from harness.comparison.deciding.earlier import leave_behind, take_earlier
from harness.comparison.deciding.stopping import Stopping, check_until, stopping
from harness.comparison.diagnosis.runs import diagnose_after
from harness.comparison.manifest import (
    checkpoint_identities,
    describe_arms,
    describe_models,
    describe_prompts,
    describe_target,
    write_manifest,
)
from harness.comparison.memory import Memory, check_room, spread_of
from harness.comparison.models import load_models
from harness.comparison.plan import Plan, preflight
from harness.comparison.recorder import Recorder
from harness.comparison.run_identity import KNOWN_ONCE_LOADED, run_identity, upgrade
from harness.comparison.schedule import Group, Share, groups_of
from harness.comparison.threads import Threads
from harness.comparison.watchdog import GuardError, check_summary
from harness.config import RunConfig
from harness.decoding.thread_race import passes_of, thread_count_kept
from harness.engines.arms import check_servers
from harness.engines.comparison import EngineComparison
from harness.engines.facts import engine_facts
from harness.engines.support import check_engine, differing_conventions
from harness.metrics.guards import Guard
from harness.metrics.mark_guards import mark_guards
from harness.metrics.summary import mismatched, summarise, undecoded
from harness.records.disturbance import stops_counted
from harness.records.files import check_writable
from harness.records.identity import check
from harness.records.journal import Journal
from harness.records.machine import gpu_name
from harness.records.progress import RunProgress, waiting, warn
from harness.records.prompts import write_prompts
from harness.report import write_report
from harness.report.entry import say
from harness.report.page.headline import DISTURBED
from harness.report.published.catalogue import read_figures, write_published
from harness.report.tracking.tracker import start_tracking
from harness.target.devices import parse_device
from harness.target.execution import choose_execution
from harness.target.floor import describe_floor
from harness.tasks.chat import Chat, Rendered, check_length, open_chat
from harness.tasks.dataset import load_prompts
from harness.tasks.lengthen import lengthen
from harness.tasks.prompts import Prompt
from harness.tasks.scoring.scorer import Scorer
from harness.vocabulary import EXIT_ARM_FAILED, EXIT_INTERRUPTED, EXIT_MISMATCH, EXIT_OK, HARNESS


@dataclass(slots=True)
class Outcome:
    """How a run ended. `error` is set where it stopped early; `decoded` is False for one that was finished before."""

    run_dir: Path
    exit_code: int
    summary: dict[str, Any]
    error: str | None = None
    decoded: bool = True


@dataclass(slots=True)
class Material:
    """Everything that a run reads before its weights."""

    plan: Plan
    prompts: list[Prompt]  # in the groups' order
    chat: Chat
    groups: list[Group]
    stopping: Stopping | None
    rendered: dict[str, Rendered]  # first turns by prompt id, in the same order
    models: dict[str, Any]  # identity and size of each checkpoint
    memory: Memory | None  # estimated
    guards: list[Guard]  # doubts about the prompts

    @property
    def generations(self) -> int:
        """Prompt turns; times arms and repeats this is the run's length."""
        return sum(len(prompt.turns) for group in self.groups for prompt in group.prompts)

    def sample(self, config: RunConfig) -> list[SampleBatch]:
        """First turns for a calibration, from all over the run."""
        count = min(len(self.groups), -(-config.calibration.prompts // config.batch_size))
        chosen = [self.groups[index * len(self.groups) // count] for index in range(count)]
        tokens = ([self.rendered[prompt.prompt_id].token_ids for prompt in group.prompts] for group in chosen)
        return [SampleBatch(each, group.seed(config.seed, 0)) for each, group in zip(tokens, chosen, strict=True)]


def gather(config: RunConfig) -> Material:
    """Check everything that can be checked without weights. Raises InputError."""
    choose_execution(config.execution, parse_device(config.target.device), spread_of(config.target))
    if config.published is not None:
        read_figures(config.published)
    check_engine(config)
    check_until(config)
    plan = preflight(config)
    room = max(plan.context - config.max_new_tokens, 1)
    if (config.dataset.context_tokens or 0) > room:  # before text of that length is made
        raise InputError(
            f"dataset.context_tokens={config.dataset.context_tokens}: expected {room} or less, as the target's context "
            f"has {plan.context} positions and max_new_tokens is {config.max_new_tokens}"
        )
    prompts = load_prompts(config.dataset, config.seed)
    unscored = Scorer(config.dataset.scorer, config.scoring).check(prompts)
    if unscored:
        warn(unscored)
    chat = open_chat(config, plan.vocab_size)
    if config.dataset.context_tokens is not None:
        prompts = lengthen(
            prompts, config.dataset.context_tokens, lambda prompt: len(chat.render(prompt, []).token_ids)
        )
    rule = stopping(config, prompts, plan.arms)
    groups = groups_of(prompts, config.batch_size) if rule is None else [one for block in rule.blocks for one in block]
    ordered = [prompt for group in groups for prompt in group.prompts]
    rendered = {prompt.prompt_id: chat.render(prompt, []) for prompt in ordered}
    for prompt_id, one in rendered.items():
        check_length(len(one.token_ids), config.max_new_tokens, plan.context, prompt_id)
    guards = mark_guards(chat.marked(ordered), chat.template is not None)
    for guard in guards:
        warn(guard.message)
    memory = check_room(config, plan, max(len(one.token_ids) for one in rendered.values()))
    return Material(plan, ordered, chat, groups, rule, rendered, describe_models(config, plan), memory, guards)


@thread_count_kept()
def run(
    config: RunConfig,
    run_dir: Path,
    *,
    command: Sequence[str] = (),
    group: str | None = None,
    share: Share | None = None,
) -> Outcome:
    """Run or continue the comparison in `run_dir`, or one process's share of it.

    Raises InputError for a configuration that cannot be run, and for a folder that holds another run.
    """
    material = gather(config)
    longest = max(len(one.token_ids) for one in material.rendered.values())
    check_servers(config, material.plan, longest)
    check_writable(run_dir, "hydra.run.dir")
    share = share or Share()
    if config.restarts > 1 and share.process is None:
        raise InputError(f"restarts={config.restarts}: expected the command, which starts the processes")
    material.groups = share.of(material.groups)
    prompts = describe_prompts(config, material.prompts, material.rendered.values(), material.chat)
    checkpoints = checkpoint_identities(material.models)
    early = run_identity(config, checkpoints, describe_arms(material.plan), prompts, material.prompts)
    # Before anything is loaded or written: most of what distinguishes two runs is known.
    check(run_dir, early, upgrade=partial(upgrade, given=early, about=prompts), not_yet_known=KNOWN_ONCE_LOADED)
    whole = sum(len(prompt.turns) for prompt in material.prompts)  # of all shares
    with waiting(f"loading {config.target.name}"):
        models = None if config.engine.runs_baseline else load_models(config, material.plan, whole)
    facts = engine_facts(config, material.plan) if models is None else models.facts
    threads = Threads(config, facts.device)
    # Compiled rounds are probed once they are made: threads gain them more than eager passes.
    if models is not None and share.decode and models.target.execution != "compile":
        widths = {1, *(arm.verify_width for arm in material.plan.arms)}
        threads.probe(passes_of(models.target, config.batch_size, widths))
    if models is not None and config.calibration.num_draft_tokens is not None:
        material.plan = calibrate(config, material.plan, models, material.sample(config), run_dir)
    arms = describe_arms(material.plan, {} if models is None else models.drafters)
    kinds = {arm["name"]: arm["kind"] for arm in arms}
    target = describe_target(config, facts, material.memory)
    loaded = {"device": facts.device.type, **{key: target[key] for key in ("dtype", "execution", "eos_token_ids")}}
    identity = run_identity(config, checkpoints, arms, prompts, material.prompts, loaded)
    with ExitStack() as stack:
        journal = stack.enter_context(
            Journal(run_dir, identity, upgrade=partial(upgrade, given=identity, about=prompts))
        )
        for folder in share.absorb:
            journal.absorb(folder, {prompt.prompt_id for group in material.groups for prompt in group.prompts})
        manifest = write_manifest(
            run_dir,
            config=config,
            run_key=journal.run_key,
            models=material.models,
            arms=arms,
            prompts=prompts,
            target=target,
            threads=threads.describe(),
            floor=describe_floor(
                material.plan.target_config,
                {planned.name: (planned.arm.kind, planned.drafter) for planned in material.plan.arms},
                *(facts.device, facts.dtype, facts.placement, models is not None),
            ),
            device=facts.device,
            command=command,
            conventions=differing_conventions(config, {} if models is None else models.drafters),
        )
        write_prompts(run_dir, material.prompts)
        if material.stopping is not None:
            material.stopping.write(run_dir)
        gpu = gpu_name(facts.device)
        if config.sweep.share_baseline and group is not None and share == Share():
            say(f"baseline: {borrow(config, journal, identity, manifest, threads, material.groups)}")
        take_earlier(run_dir, identity, gpu)
        write_published(run_dir, config, {arm["name"]: arm["num_draft_tokens"] for arm in arms})
        tracker = stack.enter_context(start_tracking(config.tracking, run_dir, manifest, group))
        progress = stack.enter_context(RunProgress(material.generations * len(arms) * config.repeats))
        recorder = Recorder(config, facts, material.chat, material.rendered, journal, progress, share.process or 0)
        exit_code, error = EXIT_OK, None
        try:
            with stops_counted():
                if models is not None and share.decode:
                    comparison = Comparison(config, material.plan, models, recorder, threads, material.stopping)
                    comparison.decode_all(material.groups)
                if config.engine.name != HARNESS and share.decode:
                    EngineComparison(config, material.plan, facts, models, recorder).decode_all(material.groups)
        except GuardError as stopped:
            exit_code, error = EXIT_ARM_FAILED, str(stopped)
        except KeyboardInterrupt:
            exit_code, error = EXIT_INTERRUPTED, "interrupted"
        progress.show("summary")
        guards = material.guards if models is None else material.guards + models.guards
        summary = summarise(run_dir, kinds=kinds, run_guards=guards)
        if exit_code == EXIT_OK:
            exit_code, error = exit_code_of(summary, config, kinds)
        if exit_code == EXIT_OK and not DISTURBED & {guard["code"] for guard in summary["guards"]}:
            leave_behind(run_dir, identity, gpu)
        if config.diagnose and share.process in (None, config.restarts - 1) and share.count == 1:
            own = {} if models is None else models.drafters
            diagnose_after(run_dir, None if models is None else models.target, own, progress.say)
        write_page(run_dir)
        tracker.finish(exit_code)
        decoded = journal.decoded or not share.decode or exit_code == EXIT_INTERRUPTED
    return Outcome(run_dir, exit_code, summary, error, decoded)


def write_page(run_dir: Path) -> None:
    """The page beside the records. It can be written again at any time, so a fault in it costs a warning."""
    try:
        write_report(run_dir)
    except InputError as error:  # damaged records, or none yet
        warn(f"no report: {error}")
    except Exception as error:
        warn(f"no report: {type(error).__name__}: {error}; `drafthouse report {run_dir}` tries again")


def exit_code_of(summary: dict[str, Any], config: RunConfig, kinds: dict[str, str]) -> tuple[int, str | None]:
    """The exit code of a run that went to its end, and the reason where it is not 0."""
    wrong, failed = mismatched(summary), undecoded(summary, kinds)
    if config.strict and wrong:
        return EXIT_MISMATCH, f"mismatch: {', '.join(wrong)} did not reproduce the baseline's tokens (strict=true)"
    if failed:
        return EXIT_ARM_FAILED, f"{', '.join(failed)} finished no prompt, see the error fields of generations.jsonl"
    try:
        check_summary(summary, kinds)
    except GuardError as error:
        return EXIT_ARM_FAILED, str(error)
    return EXIT_OK, None

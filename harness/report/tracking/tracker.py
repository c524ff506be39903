"""Tracks jobs in Weights & Biases, one W&B run each; `harness.upload` can rebuild it from the run's files.

The files are the record. Nothing is sent while prompts are decoded, every failure here is a warning, and wandb is
imported only for `tracking=wandb`.
"""

from __future__ import annotations

import hashlib
import os
import shlex
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

from harness.config import TrackingConfig
from harness.metrics.summary import read_summary
from harness.records.progress import warn
from harness.report.entry import say
from harness.report.tracking.described import arm_rows, drafting_arms, run_config, run_name
from harness.report.tracking.mirror import mirror
from harness.vocabulary import BASELINE

INIT_TIMEOUT_S = 30
FINISH_TIMEOUT_S = 300
DISABLED = "disabled"
#: Values of WANDB_MODE, older ones included, and their modes of `wandb.init`.
MODES = {"online": "online", "run": "online", "offline": "offline", "dryrun": "offline"}


class Tracker:
    """Tracks nothing, for `tracking=none`."""

    def finish(self, exit_code: int) -> None:
        """Send the run directory and close; a non-zero code marks the tracked run as failed."""

    def __enter__(self) -> Tracker:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # A run that is still open here never reached `finish`: it did not end well.
        self.finish(1)


class WandbTracker(Tracker):
    """One wandb run, open from before the first prompt so that a crashed job is visible."""

    def __init__(self, run: Any, run_dir: Path, then: Callable[[int], Any]) -> None:
        self.run: Any = run
        self.run_dir = run_dir
        self.then = then  # with the exit code, once the run is finished
        say(f"W&B: {link(run)}")

    def finish(self, exit_code: int) -> None:
        run, self.run = self.run, None
        if run is None:
            return
        where = link(run, ended=True)
        quietly("mirror the run's files", lambda: mirror(run, self.run_dir))
        quietly("finish the run", lambda: run.finish(exit_code=exit_code))
        quietly("write a run per arm", lambda: self.then(exit_code))
        say(f"W&B: {where}")


def link(run: Any, *, ended: bool = False) -> str:
    """The run's page; offline, the folder that holds it, and at its end the command that sends it."""
    if not run.offline:
        return str(run.url)
    folder = Path(run.dir).parent
    return f"`wandb sync {shlex.quote(str(folder))}` sends the run" if ended else f"offline, in {folder}"


def start_tracking(config: TrackingConfig, run_dir: Path, manifest: dict[str, Any], group: str | None) -> Tracker:
    """The configured tracker; one that tracks nothing if wandb is switched off or fails to start."""
    if config.name == "none":
        return Tracker()
    if by := switched_off():
        warn(f"tracking: W&B is switched off by {by}, nothing is written for it")
        return Tracker()
    run = quietly("start a run", lambda: open_run(config, run_dir, manifest, group))
    if run is None:
        return Tracker()
    mode = mode_of(run)
    return WandbTracker(run, run_dir, lambda code: write_arm_runs(config, run_dir, manifest, group, mode, code))


def mode_of(run: Any) -> str:
    return "offline" if run.offline else "online"


def open_run(config: TrackingConfig, run_dir: Path, manifest: dict[str, Any], group: str | None) -> Any:
    """`wandb.init` for this run directory."""
    mode = choose_mode(config.mode)
    arms = drafting_arms(manifest)
    return start(
        config,
        run_dir,
        mode,
        group=group,
        job_type="+".join(arms) or BASELINE,
        name=run_name(manifest, run_dir),
        tags=[*arms, *(["synthetic"] if manifest.get("synthetic") else [])],
        id=run_id(manifest, run_dir, mode),
        config=run_config(manifest, arms),
    )


def write_arm_runs(
    config: TrackingConfig, run_dir: Path, manifest: dict[str, Any], group: str | None, mode: str, exit_code: int
) -> None:
    """A finished wandb run of job type `arm` for each of several arms: a dot or a line of panels over runs.

    A job of one arm is such a run itself; an agent's trial stays one run.
    """
    wanted = group is not None if config.arm_runs is None else config.arm_runs
    arms = drafting_arms(manifest)
    if not wanted or len(arms) < 2 or os.environ.get("WANDB_SWEEP_ID"):
        return
    for row in arm_rows(read_summary(run_dir), manifest):
        arm = str(row["arm"])
        run = start(
            config,
            run_dir,
            mode,
            group=group,
            job_type="arm",
            name=f"{arm}-k{row['k']} {run_dir.parent.name}/{run_dir.name}",
            tags=[arm, *(["synthetic"] if manifest.get("synthetic") else [])],
            id=f"{run_id(manifest, run_dir, mode)}-{arm}",
            config=run_config(manifest, {arm: arms[arm]}),
        )
        run.define_metric("*", step_metric="k")
        run.log(row)
        run.finish(exit_code=exit_code)


def start(asked: TrackingConfig, folder: Path, mode: str, *, group: str | None, tags: list[str], **about: Any) -> Any:
    """`wandb.init` with the harness's settings; `folder` takes what wandb writes."""
    import wandb

    wanted = {
        "x_disable_stats": True,  # its sampling thread would disturb the timed loop
        "console": "off",
        "x_disable_meta": True,  # it holds the command line as typed; the manifest has it without secrets
        "x_disable_machine_info": True,
        "disable_git": True,
        "silent": True,
        "init_timeout": INIT_TIMEOUT_S,
        "finish_timeout": FINISH_TIMEOUT_S,
    }
    known = getattr(wandb.Settings, "model_fields", wanted)
    return wandb.init(
        project=asked.project,
        entity=asked.entity,
        group=asked.group or group,
        tags=[*asked.tags, *tags],
        resume="allow" if mode == "online" else None,
        dir=str(folder),
        mode=mode,  # type: ignore[arg-type]
        settings=wandb.Settings(**{name: value for name, value in wanted.items() if name in known}),
        **about,
    )


def run_id(manifest: dict[str, Any], run_dir: Path, mode: str) -> str:
    """One id for all attempts at a run directory; offline attempts are numbered, as wandb cannot resume them.

    It derives from the manifest's `uid`, or from run key and time for runs of earlier versions without one. A trial
    of a W&B sweep agent keeps the agent's id: the agent knows its trials by nothing else.
    """
    if os.environ.get("WANDB_SWEEP_ID") and (given := os.environ.get("WANDB_RUN_ID")):
        return given
    attempts = manifest.get("attempts") or [{}]
    born = manifest.get("uid") or f"{manifest.get('run_key')} {manifest.get('created')}"
    digest = hashlib.sha256(f"{born} {run_dir.name}".encode()).hexdigest()[:12]
    return digest if mode == "online" or len(attempts) == 1 else f"{digest}-{len(attempts)}"


def switched_off() -> str | None:
    """The environment variable that switches W&B off, or None; it overrides every setting of a run."""
    if os.environ.get("WANDB_MODE", "").strip().lower() == DISABLED:
        return f"WANDB_MODE={DISABLED}"
    if (word := os.environ.get("WANDB_DISABLED", "")).strip().lower() in ("true", "1", "yes", "on"):
        return f"WANDB_DISABLED={word}"
    return None


def choose_mode(mode: str) -> str:
    """`online` or `offline`; WANDB_MODE decides for `auto`, and its `offline` keeps everything here.

    Online needs a login: without one the run stays offline, with a warning. Never asks for credentials.
    """
    asked = os.environ.get("WANDB_MODE", "").strip().lower()
    if asked and asked not in (*MODES, DISABLED):
        warn(f"tracking: WANDB_MODE={asked} is unknown, expected one of {', '.join((*MODES, DISABLED))}; it is ignored")
    if "offline" in (mode, MODES.get(asked)):
        return "offline"
    if logged_in():
        return "online"
    wish = "tracking.mode=online" if mode == "online" else f"WANDB_MODE={asked}" if asked in MODES else ""
    because = f"{wish} without a login" if wish else "no login"
    warn(f"tracking: {because} (`wandb login`, WANDB_API_KEY): the run stays offline until `wandb sync` or an upload")
    return "offline"


def logged_in() -> bool:
    """Whether wandb finds credentials."""
    import wandb

    try:
        return bool(wandb.login(prompt=False))
    except TypeError:  # before wandb 0.26 login had no such switch
        return bool(wandb.api.api_key)


def quietly(what: str, action: Callable[[], Any]) -> Any:
    """Do `action`, or warn that it could not `what`: a tracker's outage must not affect a run."""
    try:
        return action()
    except Exception as error:
        text = str(error).strip().splitlines()
        warn(f"tracking: could not {what} ({type(error).__name__}: {text[0] if text else 'no message'})")
        return None

"""Tracks jobs in Weights & Biases, one W&B run each; `harness.upload` can rebuild it from the run's files.

The files are the record. Nothing is sent while prompts are decoded, every failure here is a warning, and wandb is
imported only for `tracking=wandb`.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

from harness.config import TrackingConfig
from harness.progress import warn
from harness.records.secrets import redact_tree
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

    def __init__(self, run: Any, run_dir: Path) -> None:
        self.run: Any = run
        self.run_dir = run_dir

    def finish(self, exit_code: int) -> None:
        run, self.run = self.run, None
        if run is None:
            return
        quietly("mirror the run's files", lambda: mirror(run, self.run_dir))
        quietly("finish the run", lambda: run.finish(exit_code=exit_code))


def start_tracking(config: TrackingConfig, run_dir: Path, manifest: dict[str, Any], group: str | None) -> Tracker:
    """The configured tracker; one that tracks nothing if wandb is switched off or fails to start."""
    if config.name == "none":
        return Tracker()
    if by := switched_off():
        warn(f"tracking: W&B is switched off by {by}, nothing is written for it")
        return Tracker()
    run = quietly("start a run", lambda: open_run(config, run_dir, manifest, group))
    return Tracker() if run is None else WandbTracker(run, run_dir)


def open_run(config: TrackingConfig, run_dir: Path, manifest: dict[str, Any], group: str | None) -> Any:
    """`wandb.init` for this run directory."""
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
    mode = choose_mode(config.mode)
    settings = manifest.get("config") or {}
    arms = [arm["name"] for arm in manifest.get("arms", []) if arm["name"] != BASELINE]
    return wandb.init(
        project=config.project,
        entity=config.entity,
        group=config.group or group,
        job_type="+".join(arms) or BASELINE,
        name=run_name(manifest, run_dir),
        tags=[*config.tags, *arms, *(["synthetic"] if manifest.get("synthetic") else [])],
        id=run_id(manifest, run_dir, mode),
        resume="allow" if mode == "online" else None,
        config=redact_tree({**settings, "manifest": {k: v for k, v in manifest.items() if k != "config"}}),
        dir=str(run_dir),
        mode=mode,  # type: ignore[arg-type]
        settings=wandb.Settings(**{name: value for name, value in wanted.items() if name in known}),
    )


def run_name(manifest: dict[str, Any], run_dir: Path) -> str:
    """Arms with their k, then the run's directory."""
    arms = [f"{arm['name']}-k{arm['num_draft_tokens']}" for arm in manifest.get("arms", []) if arm["name"] != BASELINE]
    return f"{'+'.join(arms) or BASELINE} {run_dir.parent.name}/{run_dir.name}"


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
    """`auto` becomes WANDB_MODE, else online with wandb credentials, else offline; never asks for credentials."""
    if mode != "auto":
        return mode
    asked = os.environ.get("WANDB_MODE", "")
    if asked in MODES:
        return MODES[asked]
    if asked:
        warn(f"tracking: WANDB_MODE={asked} is unknown, expected one of {', '.join((*MODES, DISABLED))}; it is ignored")
    import wandb

    try:
        found = bool(wandb.login(prompt=False))
    except TypeError:  # before wandb 0.26 login had no such switch
        found = bool(wandb.api.api_key)
    if not found:
        warn("tracking: wandb has no credentials here, the run stays offline until `wandb sync` or harness.upload")
    return "online" if found else "offline"


def quietly(what: str, action: Callable[[], Any]) -> Any:
    """Do `action`, or warn that it could not `what`: a tracker's outage must not affect a run."""
    try:
        return action()
    except Exception as error:
        text = str(error).strip().splitlines()
        warn(f"tracking: could not {what} ({type(error).__name__}: {text[0] if text else 'no message'})")
        return None

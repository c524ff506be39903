"""`drafthouse upload DIR...`: rebuild tracked W&B runs from run directories, any number of times.

For runs made without tracking, offline, or during an outage. A directory holds one run or a sweep of them; the runs of
a sweep share a group, which also gets a run with its leaderboard. `--workspace` saves a view of the project, with
speedups against k by arm; it needs the extra `workspaces` and a login.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

from drafters.errors import InputError
from harness.config import TrackingConfig
from harness.config.tracking import TRACKING_MODES
from harness.metrics.summary import mismatched, read_summary, stored_summary, summarise, undecoded
from harness.records.files import NOTHING_YET, find_runs
from harness.records.frames import write_rounds
from harness.records.stored import read_manifest
from harness.report.entry import command, say, tell
from harness.report.leaderboard.board import leaderboard
from harness.report.leaderboard.page import write_leaderboard
from harness.report.tracking.board import track_leaderboard
from harness.report.tracking.mirror import mirror
from harness.report.tracking.tracker import choose_mode, link, mode_of, open_run, switched_off, write_arm_runs
from harness.report.tracking.workspace import check_workspaces, save_workspace
from harness.vocabulary import EXIT_ARM_FAILED, EXIT_BAD_INPUT, EXIT_OK


def upload(run_dir: Path, config: TrackingConfig, group: str | None) -> str:
    """Build one tracked run from its files, and one per arm where the group asks for it; return its id and its link.

    Raises InputError for a run without a finished generation, and wandb's own errors.
    """
    with suppress(OSError):  # an archive may be read-only; the mirror reads it all the same
        write_rounds(run_dir)
        if stored_summary(run_dir) is None:  # a run that was killed before it could
            summarise(run_dir)
    summary = read_summary(run_dir)
    if not summary["rows"]:
        raise InputError(f"{run_dir}: {NOTHING_YET}")
    manifest = read_manifest(run_dir)
    run = open_run(config, run_dir, manifest, group)
    where, mode = link(run, ended=True), mode_of(run)
    try:
        mirror(run, run_dir)
    except BaseException:
        run.finish(exit_code=1)
        raise
    code = int(bool(mismatched(summary) or undecoded(summary)))
    run.finish(exit_code=code)
    write_arm_runs(config, run_dir, manifest, group, mode, code)
    return f"{run.id}, {where}"


def upload_leaderboard(folder: Path, config: TrackingConfig) -> str:
    """Build the run of a sweep's leaderboard; return its link."""
    board = leaderboard([folder])
    with suppress(OSError):  # of an archive: the run lacks the page then
        write_leaderboard(board, folder)
    return f"leaderboard, {track_leaderboard(config, board, folder)}"


@command
def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="drafthouse upload", description=__doc__)
    parser.add_argument("folders", nargs="+", type=Path, metavar="DIR")
    parser.add_argument("--project", default=TrackingConfig.project)
    parser.add_argument("--entity")
    parser.add_argument("--group", help="default: the name of the sweep's directory")
    parser.add_argument("--mode", choices=TRACKING_MODES, default="auto")
    parser.add_argument("--workspace", action="store_true", help="save a view: speedups against k by arm")
    options = parser.parse_args(arguments)
    config = TrackingConfig("wandb", options.project, options.entity, options.mode, options.group)
    if by := switched_off():
        say(f"error: W&B is switched off by {by}, nothing was uploaded")
        return EXIT_BAD_INPUT
    if options.mode == "online" and choose_mode("auto") != "online":
        raise InputError("--mode online: W&B has no login here or WANDB_MODE keeps it offline; expected `wandb login`")
    if options.workspace:
        check_workspaces(config)
    worst = EXIT_OK
    for folder in options.folders:
        try:
            found = find_runs(folder)
        except InputError as error:
            worst = max(worst, tell(error))
            continue
        for run_dir in found:
            group = None if run_dir == folder else folder.name
            worst = max(worst, attempt(run_dir, partial(upload, run_dir, config, group)))
        if found != [folder]:
            worst = max(worst, attempt(folder, partial(upload_leaderboard, folder, config)))
    if options.workspace:
        worst = max(worst, attempt(Path(config.project), partial(save_workspace, config)))
    return worst


def attempt(what: Path, action: Callable[[], str]) -> int:
    """Print what `action` built; one that cannot be sent must not cost the others theirs. Returns the exit code."""
    try:
        print(f"{what}: {action()}", flush=True)
    except InputError as error:
        return tell(error)
    except Exception as error:
        say(f"error: {what}: {type(error).__name__}: {error}")
        return EXIT_ARM_FAILED
    return EXIT_OK


if __name__ == "__main__":
    sys.exit(main())

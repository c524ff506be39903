"""`python -m harness.upload DIR...`: rebuild tracked W&B runs from run directories, any number of times.

For runs made without tracking, offline, or during an outage. A directory holds one run or a sweep of them; the runs of
a sweep share a group.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from harness.config import TrackingConfig
from harness.config.tracking import TRACKING_MODES
from harness.entry import command, say, tell
from harness.errors import EXIT_ARM_FAILED, EXIT_BAD_INPUT, EXIT_OK, InputError
from harness.metrics.summary import mismatched, read_summary, stored_summary, summarise, undecoded
from harness.records.files import NOTHING_YET, find_runs
from harness.records.frames import write_rounds
from harness.records.stored import read_manifest
from harness.report.tracking.mirror import mirror
from harness.report.tracking.tracker import open_run, switched_off


def upload(run_dir: Path, config: TrackingConfig, group: str | None) -> str:
    """Build one tracked run from its files; return its id.

    Raises InputError for a run without a finished generation, and wandb's own errors.
    """
    with suppress(OSError):  # an archive may be read-only; the mirror reads it all the same
        write_rounds(run_dir)
        if stored_summary(run_dir) is None:  # a run that was killed before it could
            summarise(run_dir)
    summary = read_summary(run_dir)
    if not summary["rows"]:
        raise InputError(f"{run_dir}: {NOTHING_YET}")
    run = open_run(config, run_dir, read_manifest(run_dir), group)
    try:
        mirror(run, run_dir)
    except BaseException:
        run.finish(exit_code=1)
        raise
    run.finish(exit_code=int(bool(mismatched(summary) or undecoded(summary))))
    return str(run.id)


@command
def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m harness.upload", description=__doc__)
    parser.add_argument("folders", nargs="+", type=Path, metavar="DIR")
    parser.add_argument("--project", default=TrackingConfig.project)
    parser.add_argument("--entity")
    parser.add_argument("--group", help="default: the name of the sweep's directory")
    parser.add_argument("--mode", choices=TRACKING_MODES, default="auto")
    options = parser.parse_args(arguments)
    config = TrackingConfig("wandb", options.project, options.entity, options.mode, options.group)
    if by := switched_off():
        say(f"error: W&B is switched off by {by}, nothing was uploaded")
        return EXIT_BAD_INPUT
    worst = EXIT_OK
    for folder in options.folders:
        try:
            found = find_runs(folder)
        except InputError as error:
            worst = max(worst, tell(error))
            continue
        for run_dir in found:
            try:
                name = upload(run_dir, config, None if run_dir == folder else folder.name)
            except InputError as error:
                worst = max(worst, tell(error))
            except Exception as error:  # a run that cannot be sent must not cost the others theirs
                say(f"error: {run_dir}: {type(error).__name__}: {error}")
                worst = max(worst, EXIT_ARM_FAILED)
            else:
                print(f"{run_dir}: {name}")
    return worst


if __name__ == "__main__":
    sys.exit(main())

"""Data parallel: processes of `accelerate launch` or `torchrun` each decode a share of one run's prompts.

Every rank times its own device and journals into `processes/<rank>` of the run directory. At the end rank 0 merges all
journals and summarises them, as if it had decoded everything itself. Random numbers depend on a prompt's place in the
whole order, so the tokens are those of a single process.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch.distributed as distributed

from drafters.errors import InputError
from harness.comparison.schedule import Share
from harness.config import RunConfig, TrackingConfig
from harness.config.checks import from_environment
from harness.launch.device_lock import choose_device, hold_device
from harness.run import Outcome, run
from harness.target.devices import parse_device
from harness.vocabulary import EXIT_INTERRUPTED

FOLDER = "processes"
PATIENCE = timedelta(days=7)  # a rank with longer answers is waited for


@dataclass(frozen=True, slots=True)
class Processes:
    """`rank` of this process among `count` (the world size), and `local_rank` on its machine."""

    rank: int = 0
    count: int = 1
    local_rank: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.rank < self.count:
            raise InputError(f"RANK={self.rank}: expected 0 to {self.count - 1}, as WORLD_SIZE is {self.count}")


def processes() -> Processes:
    """Rank and world size from the launcher's environment; a single process if unset. Raises InputError."""
    count = from_environment("WORLD_SIZE", 1, least=1)
    if count > 1:  # a rank that is left out would be every process's 0
        for name in ("MASTER_ADDR", "MASTER_PORT", "RANK", "LOCAL_RANK"):
            if name not in os.environ:
                raise InputError(
                    f"WORLD_SIZE={count} without {name}: expected accelerate launch or torchrun to start this"
                )
    return Processes(from_environment("RANK", 0), count, from_environment("LOCAL_RANK", 0))


def run_data_parallel(
    around: Processes, config: RunConfig, run_dir: Path, *, command: Sequence[str] = (), group: str | None = None
) -> Outcome | None:
    """Decode this rank's share; rank 0 merges all shares and returns the outcome, other ranks return None."""
    refuse_calibration(around, config)
    own_group = not distributed.is_initialized()
    if own_group:
        distributed.init_process_group("gloo", timeout=PATIENCE)
    try:
        agreed: list[Any] = [str(run_dir)]
        distributed.broadcast_object_list(agreed, src=0)
        run_dir = Path(agreed[0])
        config.target.device = choose_device(config.target.device, around.local_rank)
        code = decode_share(around, config, run_dir, command)
        codes: list[Any] = [None] * around.count
        distributed.all_gather_object(codes, code)
    finally:
        if own_group:
            distributed.destroy_process_group()
    if around.rank:
        return None
    everything = Share(absorb=tuple(folders(run_dir)), decode=False)
    outcome = run(config, run_dir, command=command, group=group, share=everything)
    shutil.rmtree(run_dir / FOLDER)  # its content is in the run's own journal now
    if EXIT_INTERRUPTED in codes:
        return replace(outcome, exit_code=EXIT_INTERRUPTED, error="interrupted")
    return outcome


def refuse_calibration(around: Processes, config: RunConfig) -> None:
    """Raise InputError for a calibration: every rank would find a best k of its own."""
    asked = config.calibration.num_draft_tokens
    if asked is not None:
        raise InputError(
            f"calibration.num_draft_tokens={asked} with {around.count} processes: each would choose its own k; "
            "expected null here, and the k that a calibration in one process found"
        )


def decode_share(around: Processes, config: RunConfig, run_dir: Path, command: Sequence[str]) -> int:
    """Decode this rank's share into a journal of its own, which absorbs earlier attempts'; returns the exit code."""
    mine = run_dir / FOLDER / str(around.rank)
    earlier = tuple(folder for folder in (run_dir, *folders(run_dir)) if folder != mine)
    # Only the merged run is mirrored.
    config = replace(config, tracking=TrackingConfig(), target=replace(config.target))
    with hold_device(parse_device(config.target.device), share=config.share_device, wait=True):
        return run(config, mine, command=command, share=Share(around.rank, around.count, earlier)).exit_code


def folders(run_dir: Path) -> list[Path]:
    """The folders of single ranks below `run_dir`."""
    return sorted(path for path in (run_dir / FOLDER).glob("*") if path.is_dir())

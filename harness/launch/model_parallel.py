"""Model parallel: all processes of torchrun hold a part of every layer, for a target too large for one device.

Every rank decodes the same prompts in step. Rank 0 keeps the record and prints; other ranks work in folders that are
thrown away.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Sequence
from contextlib import redirect_stderr
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
import torch.distributed as distributed

from harness.config import RunConfig, TrackingConfig
from harness.launch.data_parallel import Processes, refuse_calibration
from harness.launch.device_lock import choose_device, hold_device
from harness.run import Outcome, run
from harness.target.devices import parse_device


def run_model_parallel(
    around: Processes, config: RunConfig, run_dir: Path, *, command: Sequence[str] = (), group: str | None = None
) -> Outcome | None:
    """Run with a target that the ranks share; rank 0 returns the outcome, other ranks None."""
    refuse_calibration(around, config)
    config = replace(config, target=replace(config.target))
    config.target.device = choose_device(config.target.device, around.local_rank)
    device = parse_device(config.target.device)
    if device.type == "cuda":
        torch.cuda.set_device(device)
    own_group = not distributed.is_initialized()
    if own_group:
        distributed.init_process_group()
    try:
        agreed: list[Any] = [str(run_dir)]
        distributed.broadcast_object_list(agreed, src=0)
        # The ranks of one machine share its processor, and each has a GPU of its own.
        share = config.share_device or (device.type == "cpu" and around.rank > 0)
        with hold_device(device, share=share, wait=group is not None):
            if around.rank == 0:
                distributed.barrier()
                return run(config, run_dir, command=command, group=group)
            follow(config, Path(agreed[0]), command)
            return None
    finally:
        if own_group:
            distributed.destroy_process_group()


def follow(config: RunConfig, run_dir: Path, command: Sequence[str]) -> None:
    """Run the same prompts on this rank without output, resuming from a copy of the journal."""
    with tempfile.TemporaryDirectory() as scratch:
        mine = Path(scratch) / "run"
        if run_dir.is_dir():
            shutil.copytree(run_dir, mine)
        distributed.barrier()  # rank 0 writes from here on
        with Path(os.devnull).open("w", encoding="utf-8", errors="replace") as nowhere, redirect_stderr(nowhere):
            run(replace(config, tracking=TrackingConfig()), mine, command=command)

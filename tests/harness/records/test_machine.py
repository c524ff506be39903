"""The machine is described by the hardware, the versions and the revision that decide its numbers."""

from __future__ import annotations

from pathlib import Path

import torch

from harness.records.machine import git_state, hardware, versions


def test_versions_and_hardware_name_what_decides_the_numbers() -> None:
    assert versions()["torch"] == torch.__version__
    described = hardware(torch.device("cpu"))
    assert described["device"] == "cpu"
    assert described["cpu"]
    assert described["torch_threads"] == torch.get_num_threads()


def test_a_folder_without_a_repository_has_no_commit(tmp_path: Path) -> None:
    assert git_state(tmp_path) == {"commit": None, "dirty": None}

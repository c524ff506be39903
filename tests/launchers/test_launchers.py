"""Each launcher runs a sweep of four jobs on a tiny pair, in processes of its own."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from harness.vocabulary import ROOT
from tests.helpers.checkpoint_folders import write_pair, write_prompts

LAUNCHERS = {
    "submitit_local": ["hydra.launcher.timeout_min=10"],
    "joblib": ["hydra.launcher.n_jobs=2"],
    "ray": ["+hydra.launcher.ray.init.num_cpus=2"],
}

ASKED = "launchers" in " ".join(sys.argv)  # as `make test-launchers` does
pytestmark = [pytest.mark.launchers, pytest.mark.skipif(not ASKED, reason="make test-launchers")]


@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_four_jobs(launcher: str, tmp_path: Path) -> None:
    plugin = f"hydra_plugins.hydra_{launcher.removesuffix('_local')}_launcher"
    if importlib.util.find_spec(plugin) is None:
        pytest.skip(f"{launcher} is not installed: pip install '.[launchers]'")
    pair = write_pair(tmp_path)
    prompts = write_prompts(tmp_path / "prompts.jsonl", 2)
    paths = ["target=path", f"target.path={pair['target']}", f"drafters.mtp.path={pair['mtp']}"]
    paths += [f"drafters.dflash.path={pair['dflash']}", "dataset=jsonl", f"dataset.path={prompts}"]
    grid = ["drafter=mtp,dflash", "num_draft_tokens=1,3", "max_new_tokens=6", "target.device=cpu", "share_device=true"]
    where = [f"hydra/launcher={launcher}", f"hydra.sweep.dir={tmp_path / 's'}", *LAUNCHERS[launcher]]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "harness", "-m", *paths, *grid, *where]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr[-3000:]
    jobs = json.loads((tmp_path / "s" / "sweep.json").read_text())["jobs"]
    assert [job["state"] for job in jobs] == ["done"] * 4

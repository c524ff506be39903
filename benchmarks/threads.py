"""Measures what is left of the baseline's speed beside busy processes: idle, loaded and idle again in one run.

    python -m benchmarks.threads [--busy 2] [--prompts 8] [--execution eager]

It takes two minutes. A run of the harness decodes the shipped prompts; once a third of them is done, as many busy loops
start as the machine has CPUs, and end after the second third. Pace is tokens per second of decoding, by the run's own
records. The prompt during which the loops start or end is shown by itself: a count changes between prompts only.
Exit code 1 where less than a third of the idle pace is left.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.common import arguments, busy_loops, hardware, keep, warn_if_busy

LEAST_LEFT = 1 / 3
PHASES = ("idle", "starting", "loaded", "ending", "idle again")
MOST_S = 230


def rows_of(run_dir: Path) -> list[dict[str, Any]]:
    """The generations so far; a last line may still be on its way."""
    path = run_dir / "generations.jsonl"
    lines = path.read_text(encoding="utf-8").split("\n")[:-1] if path.exists() else []
    return [json.loads(line) for line in lines]


def wait_for(count: int, run_dir: Path, process: subprocess.Popen[Any]) -> int:
    """Wait for `count` generations; gives how many there are."""
    while len(rows_of(run_dir)) < count:
        if process.poll() is not None:
            raise SystemExit(f"the run ended with exit code {process.returncode} before {count} prompts were done")
        time.sleep(0.02)
    return len(rows_of(run_dir))


def pace(rows: Sequence[dict[str, Any]]) -> dict[str, Any] | None:
    """Tokens per second over `rows`, and the thread counts that they were decoded with."""
    if not rows:
        return None
    tokens = sum(len(row["token_ids"]) - 1 for row in rows)
    return {
        "prompts": len(rows),
        "tokens_per_s": tokens / sum(row["decode_s"] for row in rows),
        "threads": sorted({row["machine"]["threads"] for row in rows}),
        "others_cpus": sum(row["machine"].get("others_s", 0.0) for row in rows)
        / sum(row["machine"]["wall_s"] for row in rows),
    }


def main() -> int:
    flags = arguments(
        __doc__ or "",
        busy={"type": int, "default": os.cpu_count(), "help": "busy loops"},
        prompts={"type": int, "default": 8, "help": "prompts in each third"},
        execution={"default": "eager", "choices": ["eager", "compile"]},
    )
    warn_if_busy()
    before = hardware()
    setting = flags.threads or "auto"
    with tempfile.TemporaryDirectory() as scratch, contextlib.ExitStack() as stack:
        run_dir = Path(scratch) / "run"
        overrides = [f"dataset.limit={3 * flags.prompts}", "drafter=[]", f"hydra.run.dir={run_dir}"]
        overrides += [f"execution={flags.execution}", f"target.threads={setting}", "target.device=cpu"]
        environment = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
        process = subprocess.Popen(
            [sys.executable, "-m", "harness", *overrides], stdout=subprocess.DEVNULL, env=environment
        )
        stack.callback(process.wait)
        stack.callback(process.kill)
        started = wait_for(flags.prompts, run_dir, process)
        with busy_loops(flags.busy):
            ended = wait_for(2 * flags.prompts, run_dir, process)
        process.wait(MOST_S)
        rows = rows_of(run_dir)
        manifest = json.loads((run_dir / "manifest.json").read_text(encoding="utf-8"))
    parts = (rows[:started], rows[started : started + 1], rows[started + 1 : ended], rows[ended : ended + 1])
    phases = dict(zip(PHASES, map(pace, (*parts, rows[ended + 1 :])), strict=True))
    assert phases["idle"] and phases["loaded"], "too few prompts in a third"
    left = phases["loaded"]["tokens_per_s"] / phases["idle"]["tokens_per_s"]
    result = {
        "execution": flags.execution,
        "target.threads": setting,
        "busy_loops": flags.busy,
        "phases": phases,
        "left": left,
        "probes": [manifest["threads"], *manifest["attempts"][0].get("threads_changed", [])],
    }
    for name, phase in phases.items():
        if phase is not None:
            counts = ", ".join(map(str, phase["threads"]))
            print(f"{name:12s} {phase['prompts']:3d} prompts {phase['tokens_per_s']:8.1f} tok/s, threads {counts}")
    print(json.dumps({"left": round(left, 3), "expected": round(LEAST_LEFT, 3)}))
    what = "-".join(filter(None, ("embedded", flags.execution, "" if setting == "auto" else str(setting), flags.name)))
    keep("threads", result, before, what)
    return 0 if left >= LEAST_LEFT else 1


if __name__ == "__main__":
    sys.exit(main())

"""Checks that a run doubts its times when it should, and only then: idle, beside busy loops, and after a stop.

    python -m benchmarks.doubts     # 20 idle runs, 1 loaded and 1 stopped, on a machine without other work
    python -m benchmarks.doubts --idle 3 --only idle

Prints one line per run and the counts; exits with 1 if a count is wrong.
"""

from __future__ import annotations

import argparse
import json
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.common import busy_loops, warn_if_busy
from harness.records.cpus import usable_cpus

IDLE_RUNS = 20
STOP_S = 12.0
#: Guards that the shipped drafters on an idle machine must never raise.
FALSE_ALARMS = ("acceptance_full", "acceptance_low", "busy_machine", "unsteady_pace", "impossible_times")


def start(folder: Path, seed: int, *more: str) -> subprocess.Popen[bytes]:
    """One quick run of the real command."""
    command = [sys.executable, "-m", "harness", "experiment=quick", f"seed={seed}", f"hydra.run.dir={folder}", *more]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def codes_of(folder: Path) -> tuple[set[str], Counter[str], str]:
    """Codes of all guards of a run, its categories included, its taints, and its noise line."""
    summary: dict[str, Any] = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    codes = {guard["code"] for guard in summary["guards"]}
    codes |= {text.partition(":")[0] for row in summary["rows"] for text in row["guards"]}
    lines = (folder / "generations.jsonl").read_text(encoding="utf-8").splitlines()
    taints = Counter(word for word in (json.loads(line)["taint"] for line in lines) if word)
    return codes, taints, summary["noise"]["text"]


def stop_amid(run: subprocess.Popen[bytes], folder: Path) -> None:
    """Stop a run for STOP_S within a generation: after the first record they follow each other closely."""
    record = folder / "generations.jsonl"
    while run.poll() is None and not (record.exists() and record.stat().st_size):
        time.sleep(0.05)
    time.sleep(0.05)
    if run.poll() is None:
        run.send_signal(signal.SIGSTOP)
        time.sleep(STOP_S)
        run.send_signal(signal.SIGCONT)


def one(
    name: str, folder: Path, seed: int, meanwhile: Callable[..., None] | None = None
) -> tuple[set[str], Counter[str]]:
    """Run to the end; gives the codes of the guards that were raised, and the taints."""
    run = start(folder, seed)
    if meanwhile is not None:
        meanwhile(run, folder)
    if run.wait():
        raise SystemExit(f"{name}, seed {seed}: exit code {run.returncode}; the same command in a terminal says why")
    codes, taints, noise = codes_of(folder)
    print(f"{name} {seed}: {', '.join(sorted(codes)) or 'no doubts'}; taints {dict(taints)}; {noise}", flush=True)
    return codes, taints


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--idle", type=int, default=IDLE_RUNS, help="runs without other work, each with its own seed")
    parser.add_argument("--only", choices=("idle", "loaded", "stopped"), help="this part alone")
    options = parser.parse_args()
    wanted = [options.only] if options.only else ["idle", "loaded", "stopped"]
    warn_if_busy()
    failed = 0
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        if "idle" in wanted:
            runs = [one("idle", folder / f"idle{seed}", seed) for seed in range(options.idle)]
            for code in FALSE_ALARMS:
                alarms = sum(code in codes for codes, _ in runs)
                print(f"{code}: {alarms} of {len(runs)} idle runs, expected 0")
                failed += alarms > 0
            print(f"tainted generations in idle runs: {sum(sum(taints.values()) for _, taints in runs)}")
        if "loaded" in wanted:
            with busy_loops(usable_cpus()):
                codes, _ = one("loaded", folder / "loaded", 0)
            print(f"busy_machine: {int('busy_machine' in codes)} of 1 run beside busy loops, expected 1")
            failed += "busy_machine" not in codes
        if "stopped" in wanted:
            _, taints = one("stopped", folder / "stopped", 0, stop_amid)
            print(f"stopped generations: {taints['stopped']} in a run that was stopped once, expected 1")
            failed += taints["stopped"] != 1
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())

"""Runs a model's program where it can do little harm: its own process, limits, an empty folder, no network.

This is a fence, not a wall. The program runs as the same user and can read everything that this user can read; decode
models that you do not trust inside a container. POSIX only.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from drafters.errors import InputError
from harness.config import ScoringConfig

GUARD = Path(__file__).with_name("guarded.py")
SHOWN = 400  # characters of the reason


@dataclass(frozen=True, slots=True)
class ProgramResult:
    """Whether a program ran to its end, and the reason if it did not."""

    passed: bool
    reason: str = ""


def check_available() -> None:
    """Raises InputError on a system without the limits that the sandbox needs."""
    try:
        import resource  # noqa: F401
    except ImportError as error:
        raise InputError("scoring.execute_code=true: needs a POSIX system, for process limits") from error


def run_program(program: str, limits: ScoringConfig) -> ProgramResult:
    """Run Python source. It passes only by reaching its end: an early exit fails, even with code 0.

    Time, memory, file size, open files and (except for root) processes are limited.
    """
    # The program cannot claim to have finished without knowing this word.
    word = secrets.token_hex(16)
    with tempfile.TemporaryDirectory(prefix="scoring-") as folder:
        Path(folder, "program.py").write_text(program, encoding="utf-8")
        command = [sys.executable, "-I", str(GUARD), str(limits.memory_mb), str(int(limits.timeout_s) + 1)]
        process = subprocess.Popen(
            command,
            cwd=folder,
            env={"PATH": os.defpath, "HOME": folder, "TMPDIR": folder, "LANG": "C.UTF-8", "OMP_NUM_THREADS": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            output, _ = process.communicate(word.encode(), timeout=limits.timeout_s)
        except subprocess.TimeoutExpired:
            return ProgramResult(False, f"not done after {limits.timeout_s:g} s")
        finally:
            # Its children belong to its session.
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
            with contextlib.suppress(Exception):
                process.communicate(timeout=5)
    text = output.decode("utf-8", "replace")
    if process.returncode == 0 and text.rstrip("\n").endswith(word):
        return ProgramResult(True)
    said = text.strip().splitlines()
    return ProgramResult(False, (said[-1] if said else f"ended with code {process.returncode}")[:SHOWN])

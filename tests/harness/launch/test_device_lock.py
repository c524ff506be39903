"""Runs that time one device notice each other: a CPU warns, a GPU refuses or waits, and sharing must be asked for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerProcess
from pathlib import Path

import pytest
import torch

from drafters.errors import InputError
from harness.launch import device_lock
from harness.launch.device_lock import choose_device, hold_device
from tests.helpers.processes import FORKS

CPU, GPU = torch.device("cpu"), torch.device("cuda", 0)


@pytest.fixture(autouse=True)
def lock_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A lock of this test's own; no GPU is asked for its name."""
    path = tmp_path / "device.lock"
    monkeypatch.setattr(device_lock, "lock_path", lambda device: path)
    return path


def hold(lock: Path, pipe: Connection) -> None:
    device_lock.lock_path = lambda device: lock  # type: ignore[assignment]
    with hold_device(CPU, share=False, wait=False):
        pipe.send("held")
        pipe.poll(None)


@contextmanager
def another_run(lock: Path) -> Iterator[tuple[ForkServerProcess, Connection]]:
    """A process that holds the device until its pipe is written to, or closed."""
    ours, theirs = FORKS.Pipe()
    process = FORKS.Process(target=hold, args=(lock, theirs))
    process.start()
    theirs.close()
    assert ours.recv() == "held"
    try:
        yield process, ours
    finally:
        ours.close()
        process.join()


def test_a_gpu_that_another_run_times_is_refused_with_its_process(lock_file: Path) -> None:
    with another_run(lock_file) as (other, _):
        wanted = rf"target.device=cuda:0 .*process {other.pid}\).*share_device=true"
        with pytest.raises(InputError, match=wanted), hold_device(GPU, share=False, wait=False):
            pass


def test_it_is_free_again_when_the_other_run_ends_however_it_ends(lock_file: Path) -> None:
    with another_run(lock_file) as (other, _):
        other.kill()
        other.join()
        with hold_device(GPU, share=False, wait=False):
            pass


def test_in_a_sweep_it_is_waited_for(lock_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with another_run(lock_file) as (other, pipe):
        pipe.send("let go")  # it does so in its own time
        with hold_device(GPU, share=False, wait=True):
            other.join()
            assert other.exitcode == 0


def test_sharing_that_was_asked_for_waits_for_no_one(lock_file: Path) -> None:
    with another_run(lock_file), hold_device(GPU, share=True, wait=False):
        pass


def test_a_cpu_that_is_taken_is_a_warning(lock_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with another_run(lock_file), hold_device(CPU, share=False, wait=False):
        pass
    assert "not to be trusted" in capsys.readouterr().err


def test_job_n_takes_gpu_n_modulo_those_visible(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    assert [choose_device("auto", place) for place in range(6)] == [f"cuda:{n}" for n in (0, 1, 2, 3, 0, 1)]
    assert choose_device("cuda:3", 0) == "cuda:3", "what was asked for stays"
    assert choose_device("auto", None) == "auto", "a single run is no job of a sweep"

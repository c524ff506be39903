"""Times rounds, synchronising only where the loop does anyway.

A round is cut into draft, verify and other. On the CPU each cut is a clock reading. On CUDA each cut is an event in
the stream, read one round later: the small read that ends every round has synchronised by then.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Sequence
from typing import Any, Protocol

import torch


class Clock:
    """Marks in the order they are set. `take` hands them out, `laps` gives the seconds between neighbours."""

    def __init__(self, device: torch.device) -> None:
        self.cuda = device.type == "cuda"
        self._marks: list[Any] = []

    def mark(self) -> None:
        if self.cuda:
            event = torch.cuda.Event(enable_timing=True)
            event.record()
            self._marks.append(event)
        else:
            self._marks.append(time.perf_counter())

    def take(self) -> list[Any]:
        """The marks since the last call."""
        marks, self._marks = self._marks, []
        return marks

    def laps(self, marks: list[Any]) -> list[float]:
        """Seconds between successive `marks`. On CUDA it waits until the last is reached."""
        if self.cuda:
            if marks:
                marks[-1].synchronize()
            return [a.elapsed_time(b) / 1e3 for a, b in itertools.pairwise(marks)]
        return [b - a for a, b in itertools.pairwise(marks)]


class Timed(Protocol):
    """Takes the times of its last round."""

    def add_times(self, propose_s: float, verify_s: float, observe_s: float, other_s: float) -> None: ...


class Stopwatch:
    """Times each round and books it one round late, while the device is busy with the next."""

    def __init__(self, device: torch.device) -> None:
        self._clock = Clock(device)
        self._rows: Sequence[Timed] = ()
        self._marks: list[Any] = []

    def mark(self) -> None:
        """A cut: at the start of a round and after propose, verify and observe."""
        self._clock.mark()

    def end_round(self, rows: Sequence[Timed]) -> None:
        """The last cut of a round that `rows` took part in."""
        self._clock.mark()
        self._rows, self._marks = rows, self._clock.take()

    def book(self) -> None:
        """Add the times of the last ended round to its rows."""
        laps = self._clock.laps(self._marks)
        for row in self._rows:
            row.add_times(*laps)
        self._rows, self._marks = (), []


def now(device: torch.device) -> float:
    """Wall-clock seconds with all queued device work done."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()

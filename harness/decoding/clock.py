"""Timing that synchronises where it must and nowhere else.

A round is cut into draft, verify and other. On the CPU each cut is a clock reading. On CUDA each cut is an event in
the stream; they are read once, after the one small read that ends every round has synchronised anyway.
"""

from __future__ import annotations

import itertools
import time
from typing import Any

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


def now(device: torch.device) -> float:
    """Wall-clock seconds with all queued device work done."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()

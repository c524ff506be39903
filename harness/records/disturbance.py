"""Disturbances of a timed generation: stops, jumps of the clock, and other processes on the CPUs.

Readings are taken before and after a generation, never within it: each opens a few small files.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import psutil

from harness.records.rounds import Generation
from harness.records.taints import of_rounds

#: Clocks are slewed by 0.05 %, so a difference beyond a tenth of a second and 0.1 % is a jump or a sleep.
JUMP_S = 0.1
JUMP_SHARE = 1e-3
#: Threads that wait for a CPU this share of their time: more than the services of an idle machine cause.
BUSY_SHARE = 0.1
#: And this share of the wall time: a process that mostly waits for a GPU loses little.
BUSY_WALL_SHARE = 0.05
#: A single generation may meet one burst of a service, so its thresholds are higher.
TAINT_SHARE = 0.2
TAINT_S = 0.05
#: CPUs without idle time, as far as ticks of 10 ms show.
FULL_SHARE = 0.95
#: Least seconds, summed over generations, to judge a run.
LEAST_WALL_S = 1.0

_stops = 0


@contextmanager
def stops_counted() -> Iterator[None]:
    """Count how often this process is continued after a stop; counts nothing outside the main thread."""

    def continued(number: int, frame: FrameType | None) -> None:
        global _stops
        _stops += 1

    try:
        before = signal.signal(signal.SIGCONT, continued)
    except (ValueError, AttributeError):  # another thread; a system without the signal
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGCONT, before)


def relatives(pid: int) -> list[int]:
    """The ids of a process and of all its descendants."""
    try:
        return [pid, *(child.pid for child in psutil.Process(pid).children(recursive=True))]
    except psutil.Error:
        return [pid]


@dataclass(frozen=True, slots=True)
class Reading:
    """One look at clocks and CPUs. Seconds since an arbitrary start; None if unreadable."""

    at: float  # the clock that times rounds
    wall_clock: float
    slept_s: float | None = None  # by the whole machine
    stops: int = 0
    cpu_s: float | None = None  # used by the run's own processes
    waited_s: float | None = None  # their threads' wait for a CPU
    busy_s: float | None = None  # used by all processes, on the CPUs that this one may use
    present_s: float | None = None  # the capacity of these CPUs
    stolen_s: float | None = None  # taken from them by the hypervisor
    throttled_s: float | None = None  # by the container's quota
    pressure_s: float | None = None  # in which some process of the system waited for a CPU
    load: float | None = None  # average over the last minute


def read(family: Sequence[int] | None, root: Path = Path("/")) -> Reading:
    """Read clocks and CPUs. `family` are the run's own processes, None if they cannot be seen."""
    proc, cgroup = root / "proc", root / "sys/fs/cgroup"
    slept = None
    if hasattr(time, "CLOCK_BOOTTIME"):
        slept = time.clock_gettime(time.CLOCK_BOOTTIME) - time.clock_gettime(time.CLOCK_MONOTONIC)
    here = Reading(time.perf_counter(), time.time(), slept, _stops)
    if family is None:
        return here
    busy, present, stolen = _cpus()
    return Reading(
        *(here.at, here.wall_clock, here.slept_s, here.stops),
        cpu_s=_cpu_seconds(family),
        waited_s=_waited_seconds(proc, family),
        busy_s=busy,
        present_s=present,
        stolen_s=stolen,
        throttled_s=_first(
            _number(cgroup / "cpu.stat", "throttled_usec", 1e-6),
            _number(cgroup / "cpu" / "cpu.stat", "throttled_time", 1e-9),
        ),
        pressure_s=_number(proc / "pressure" / "cpu", "total=", 1e-6),
        load=_load(),
    )


def between(before: Reading, after: Reading, threads: int = 1) -> dict[str, Any]:
    """The change from one reading to the next, as a record holds it; unknown entries are left out. Seconds."""

    def grown(name: str) -> float | None:
        first, last = getattr(before, name), getattr(after, name)
        return None if first is None or last is None else max(0.0, last - first)

    wall, present = after.at - before.at, grown("present_s")
    found: dict[str, float | None] = {"wall_s": wall, "slept_s": grown("slept_s")}
    found["jumped_s"] = after.wall_clock - before.wall_clock - wall - (found["slept_s"] or 0.0)
    found |= {name: grown(name) for name in ("cpu_s", "waited_s", "throttled_s", "pressure_s")}
    if present:  # in some containers the counters stand still
        busy, own = grown("busy_s") or 0.0, found["cpu_s"] or 0.0
        found |= {"present_s": present, "others_s": max(0.0, busy - own), "stolen_s": grown("stolen_s")}
    found["load"] = after.load
    kept = {name: round(value, 4) for name, value in found.items() if value is not None}
    return {**kept, "threads": threads, "stops": after.stops - before.stops}


def lost_seconds(seen: Mapping[str, Any]) -> float:
    """Seconds for which other processes kept the run's own threads from a CPU; 0 without evidence."""
    others = seen.get("others_s", 0.0)
    waited = seen.get("waited_s")
    if waited is None:  # not counted: estimated, if the CPUs had no idle time, from what the threads could have used
        used = others + seen.get("cpu_s", 0.0)
        full = used >= FULL_SHARE * seen.get("present_s", float("inf"))
        waited = max(0.0, seen.get("threads", 1) * seen["wall_s"] - seen.get("cpu_s", 0.0)) if full else 0.0
    # With more threads than CPUs, the run's own threads wait for each other, too. So each second that others used
    # accounts for at most two seconds of waiting.
    return float(min(waited, 2 * others) + seen.get("stolen_s", 0.0) + seen.get("throttled_s", 0.0))


def lost_share(seen: Mapping[str, Any]) -> float:
    """`lost_seconds` as a share of the time in which a CPU was wanted."""
    lost = lost_seconds(seen)
    return lost / (lost + seen.get("cpu_s", 0.0)) if lost else 0.0


def is_busy(seen: Mapping[str, Any], share: float = BUSY_SHARE, least_s: float = LEAST_WALL_S * BUSY_SHARE) -> bool:
    """Whether others held the run back by `share` or more, and noticeably in wall time."""
    lost = lost_seconds(seen)
    return lost >= least_s and lost >= BUSY_WALL_SHARE * seen["wall_s"] and lost_share(seen) >= share


def taint_of(seen: Mapping[str, Any]) -> str:
    """The taint of a generation timed between two readings; "" for none."""
    allowed = JUMP_S + JUMP_SHARE * seen["wall_s"]
    if seen["stops"] or seen.get("slept_s", 0.0) > allowed:
        return "stopped"
    if abs(seen["jumped_s"]) > allowed:
        return "clock_jump"
    return "busy" if is_busy(seen, TAINT_SHARE, TAINT_S) else ""


def note(generations: Sequence[Generation], seen: Mapping[str, Any]) -> None:
    """Write the change between two readings, and the taint that follows, into the generations of one batch."""
    machine = taint_of(seen)
    for one in generations:
        one.machine = dict(seen)
        times = [(r.draft_s or 0.0) + (r.verify_s or 0.0) + (r.other_s or 0.0) for r in one.rounds]
        # The stronger explanation wins: a stop before a stall, either before a busy machine.
        words = [machine if machine != "busy" else "", one.taint, of_rounds(times), machine]
        one.taint = next((word for word in words if word), "")


def _cpu_seconds(family: Sequence[int]) -> float | None:
    total = 0.0
    for pid in family:
        if pid == os.getpid():
            total += time.process_time()
            continue
        try:
            times = psutil.Process(pid).cpu_times()
        except psutil.Error:
            continue
        total += times.user + times.system
    return total


def _waited_seconds(proc: Path, family: Sequence[int]) -> float | None:
    """Linux counts each thread's nanoseconds on a CPU, and waiting for one."""
    ran = waited = 0
    for pid in family:
        for path in (proc / str(pid) / "task").glob("*/schedstat"):
            try:
                on_cpu, waiting, _ = path.read_text().split()
                ran, waited = ran + int(on_cpu), waited + int(waiting)
            except (OSError, ValueError):  # a thread that ended, or a kernel without the count
                continue
    return waited / 1e9 if ran else None


def _cpus() -> tuple[float | None, float | None, float | None]:
    """Busy, present and stolen seconds of the CPUs that this process may use."""
    try:
        times = psutil.cpu_times(percpu=True)
        mine = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set(range(len(times)))
    except (OSError, RuntimeError, ValueError, AttributeError):
        return None, None, None
    chosen = [one for index, one in enumerate(times) if index in mine] or list(times)
    busy = present = stolen = 0.0
    for one in chosen:
        part = one._asdict()
        stolen += part.get("steal", 0.0)
        # `user` already includes the seconds of guests.
        used = sum(part.get(name, 0.0) for name in ("user", "nice", "system", "irq", "softirq", "interrupt", "dpc"))
        busy += used
        present += used + part.get("idle", 0.0) + part.get("iowait", 0.0) + part.get("steal", 0.0)
    return busy, present, stolen


def _load() -> float | None:
    try:
        return psutil.getloadavg()[0]
    except (OSError, AttributeError):
        return None


def _first(*values: float | None) -> float | None:
    return next((value for value in values if value is not None), None)


def _number(path: Path, name: str, unit: float) -> float | None:
    """The number behind `name` in a small file, in seconds."""
    try:
        words = path.read_text().replace("=", "= ").split()
        return int(words[words.index(name) + 1]) * unit
    except (OSError, ValueError, IndexError):
        return None

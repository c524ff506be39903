"""The thread count of a run on a CPU: set, or chosen by speed and looked at again between prompts.

All arms of a turn run at one count: it changes between turns only, and every row holds the count it was decoded with
(`machine.threads`). `OMP_NUM_THREADS` wins over everything else, as in every program that uses OpenMP.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import torch

from harness.config import RunConfig
from harness.config.checks import from_environment
from harness.config.target import AUTO
from harness.decoding.thread_race import Part, Race, counts_up_to, race
from harness.records import disturbance
from harness.records.cpus import usable_cpus
from harness.records.progress import warn

VARIABLE = "OMP_NUM_THREADS"
#: Others took up, or gave back, this many CPUs since the count was chosen: it is looked at again.
OTHERS_CHANGED = 0.3
#: And again after this long in any case, as not every load can be seen from here.
PERIOD_S = 60.0
#: Looking again takes at most this share of a run.
MOST_SPENT = 0.05

PROBE, SETTING, ALONE = "the fastest when probed", "target.threads", "the only CPU of this process"
NOT_PROBED = "all CPUs of this process, not probed"
IN_STEP, OTHER_DEVICE = "its share of the CPUs, as the processes run in step", "torch's own, on another device"


@dataclass(frozen=True, slots=True)
class Choice:
    """A thread count and the reason for it; `milliseconds` by count where it was probed."""

    count: int
    why: str
    milliseconds: dict[str, float] = field(default_factory=dict)

    @classmethod
    def of(cls, found: Race) -> Choice:
        return cls(found.count, PROBE, {str(count): round(1e3 * each, 4) for count, each in found.seconds.items()})


def share_of_cpus() -> int:
    """The CPUs for this process among those that a launcher started on this machine; at least 1. Raises InputError."""
    return max(1, usable_cpus() // from_environment("LOCAL_WORLD_SIZE", 1, least=1))


def from_openmp() -> int | None:
    """The count in `OMP_NUM_THREADS`, which may be a list of one per nesting level; None where it is not set."""
    outermost = os.environ.get(VARIABLE, "").partition(",")[0].strip()
    return int(outermost) if outermost.isdecimal() and int(outermost) else None


def settled_count(config: RunConfig, device: torch.device) -> Choice | None:
    """The count where none is to be chosen by speed, else None."""
    asked, openmp = config.target.threads, from_openmp()
    if openmp is not None:
        if asked not in (AUTO, openmp):
            warn(f"target.threads={asked} has no effect: {VARIABLE}={openmp} is set")
        return Choice(openmp, VARIABLE)
    if asked != AUTO:
        if asked > usable_cpus():
            warn(f"target.threads={asked}: this process may use {usable_cpus()} CPUs, so threads wait for each other")
        return Choice(int(asked), SETTING)
    if device.type != "cpu":
        return Choice(torch.get_num_threads(), OTHER_DEVICE)
    if config.target.tp_plan is not None:  # ranks that tried different counts would wait for each other
        return Choice(share_of_cpus(), IN_STEP)
    return Choice(1, ALONE) if share_of_cpus() == 1 else None


def engine_threads(config: RunConfig) -> int:
    """Threads for an engine in a process of its own, which the harness cannot probe: as set, else all CPUs."""
    settled = settled_count(config, torch.device("cpu"))
    return share_of_cpus() if settled is None else settled.count


class Threads:
    """The count in use. `probe` chooses one, `between_turns` looks again where that is due."""

    def __init__(self, config: RunConfig, device: torch.device) -> None:
        self.settled = settled_count(config, device)
        self.choice = self.settled or Choice(share_of_cpus(), NOT_PROBED)
        self.asked = config.target.threads
        self.parts: Sequence[Part] = ()
        self.spent_s = 0.0  # by looking again
        self.at = self.started = time.perf_counter()
        self.others: float | None = None  # CPUs that other processes used when the count was chosen
        self.before: disturbance.Reading | None = None
        torch.set_num_threads(self.choice.count)

    def probe(self, parts: Sequence[Part], *, anew: bool = True) -> bool:
        """Choose the count at which `parts` take least time; whether it changed. Later looks use the same parts.

        Unless `anew`, the count in use is kept where no other is clearly faster. A fault of a part costs a warning.
        """
        self.parts = parts
        if self.settled is not None or not parts:
            return False
        current, before = self.choice.count, self.read()
        try:
            found = race(counts_up_to(share_of_cpus()), parts, current=None if anew else current)
        except Exception as error:  # the arms meet it again, each with a row of its own
            warn(f"the thread count stays {current}: {type(error).__name__}: {error}")
            torch.set_num_threads(current)
            self.parts = ()
            return False
        self.choice = Choice.of(found)
        self.before = self.read()
        self.others = others_between(before, self.before)
        self.at = self.before.at
        return found.count != current

    def due(self, now: float, others: float | None) -> bool:
        """Whether to look again at `now`, when other processes use so many CPUs; None where that is not known."""
        if self.settled is not None or not self.parts or self.spent_s > MOST_SPENT * (now - self.started):
            return False
        if others is not None and self.others is not None and abs(others - self.others) > OTHERS_CHANGED:
            return True
        return now - self.at > PERIOD_S

    def between_turns(self) -> bool:
        """Look again where it is due; whether the count changed."""
        if self.settled is not None:
            return False
        reading = self.read()
        others = None if self.before is None else others_between(self.before, reading)
        self.before = reading
        if not self.due(reading.at, others):
            return False
        changed = self.probe(self.parts, anew=False)
        self.spent_s += time.perf_counter() - reading.at
        # What others use depends on the count as well: as long as neither changes, there is nothing new to see.
        self.others = self.others if changed or others is None else others
        return changed

    def read(self) -> disturbance.Reading:
        """The CPUs now, as they are used by this process with its children, and by others."""
        return disturbance.read(disturbance.relatives(os.getpid()))

    def describe(self) -> dict[str, Any]:
        """The choice as the manifest holds it."""
        return {"asked": self.asked, **asdict(self.choice)}

    @property
    def text(self) -> str:
        """The choice in one line."""
        figures = ", ".join(f"{count}: {each:.3g} ms" for count, each in self.choice.milliseconds.items())
        return f"{self.choice.count} thread{'s' * (self.choice.count > 1)}, {self.choice.why}" + (
            f" ({figures})" if figures else ""
        )


def others_between(before: disturbance.Reading, after: disturbance.Reading) -> float | None:
    """CPUs that other processes used between two readings, or a hypervisor took; None where it is not known."""
    seen = disturbance.between(before, after)
    if "others_s" not in seen or seen["wall_s"] <= 0:
        return None
    return float(seen["others_s"] + seen.get("stolen_s", 0.0)) / float(seen["wall_s"])

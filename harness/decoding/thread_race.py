"""Finds the thread count at which a CPU decodes fastest, by timing the same work at several counts.

All cores are not always it: threads meet some hundred times in a pass, and whenever another process holds one core, all
others wait there for it. Two threads beside one busy process can be a hundred times slower than one.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch

from harness.target.target import Target

#: Seconds of passes behind one figure: some ten passes of a small model, a single one of a large one.
LOOK_S = 0.05
#: A count this many times slower than the fastest is measured no further.
OUT_OF_THE_RACE = 1.5
#: Counts within this share of the fastest are as fast, and the smallest of them leaves most to others.
ALIKE = 0.05
#: A count in use is left only for one that takes this share less: readings differ by as much from one to the next.
CLEARLY = 0.1
#: A first lap that took longer is not repeated.
LONG_LAP_S = 2.0
#: Position of the passes: a short context.
PROBED_POSITION = 64

#: Part of the work of a round; gives its seconds with the threads that are set.
Part = Callable[[], float]


@dataclass(frozen=True, slots=True)
class Race:
    """The chosen `count`, typical seconds of the work at each count that was measured, and what the race took."""

    count: int
    seconds: dict[int, float] = field(default_factory=dict)
    took_s: float = 0.0

    @property
    def text(self) -> str:
        """Every measured count with its milliseconds, in one line."""
        return ", ".join(f"{count}: {1e3 * each:.3g} ms" for count, each in sorted(self.seconds.items()))


def counts_up_to(most: int) -> list[int]:
    """The counts worth trying, largest first: `most`, one less (it leaves a core to others), and powers of two."""
    powers = [1 << step for step in range(most.bit_length()) if 1 << step <= most]
    return sorted({most, max(1, most - 1), *powers}, reverse=True)


def race(
    counts: Sequence[int],
    parts: Sequence[Part],
    *,
    current: int | None = None,
    use: Callable[[int], None] = torch.set_num_threads,
) -> Race:
    """Time `parts` at each of `counts`, largest first, and choose one; `use` sets a count, the chosen one at the end.

    The figure of a count is the geometric mean over parts, so that no part decides by its length alone; of two laps the
    lesser counts, as one burst of a service should not. `current` is kept unless another count is clearly faster.
    """
    started = time.perf_counter()
    first = _lap(list(counts), parts, use)
    laps = [first]
    if time.perf_counter() - started < LONG_LAP_S and len(_whole(first, parts)) > 1:
        laps.append(_lap(sorted(_whole(first, parts)), parts, use))
    seconds: dict[int, float] = {}
    for lap in laps:
        for count in _whole(lap, parts):
            seconds[count] = min(_mean(lap[count]), seconds.get(count, math.inf))
    chosen = choose(seconds, current if current in first else None)
    use(chosen)
    # What fell behind early gets a figure from the parts that it has, but is not chosen by it.
    fastest = min(seconds, key=lambda count: seconds[count])
    behind = {
        count: seconds[fastest] * _mean(each) / _mean(first[fastest][: len(each)])
        for count, each in first.items()
        if count not in seconds
    }
    return Race(chosen, {**seconds, **behind}, time.perf_counter() - started)


def choose(seconds: dict[int, float], current: int | None = None) -> int:
    """The smallest count that is as fast as the fastest; `current` unless that one is clearly faster."""
    least = min(seconds.values())
    best = min(count for count, each in seconds.items() if each <= (1 + ALIKE) * least)
    if current in seconds and seconds[best] > (1 - CLEARLY) * seconds[current]:
        return current
    return best


def _lap(counts: list[int], parts: Sequence[Part], use: Callable[[int], None]) -> dict[int, list[float]]:
    """Seconds of each part by count. Counts far behind the fastest stop early, and so does the way down to fewer."""
    seconds: dict[int, list[float]] = {}
    running = counts
    for number, part in enumerate(parts):
        for count in running:
            use(count)
            seconds.setdefault(count, []).append(part())
            fastest = min(map(_mean, seconds.values()))
            if number == 0 and _mean(seconds[count]) > OUT_OF_THE_RACE * fastest:
                break  # fewer threads still would be slower
        whole = {count: _mean(each) for count, each in seconds.items() if len(each) == number + 1}
        running = [count for count in whole if whole[count] <= OUT_OF_THE_RACE * min(whole.values())]
    return seconds


def _whole(lap: dict[int, list[float]], parts: Sequence[Part]) -> list[int]:
    return [count for count, seconds in lap.items() if len(seconds) == len(parts)]


def _mean(seconds: Iterable[float]) -> float:
    logs = [math.log(max(each, 1e-9)) for each in seconds]
    return math.exp(sum(logs) / len(logs))


@contextmanager
def thread_count_kept() -> Iterator[None]:
    """Whatever sets torch's thread count within, the count of before holds afterwards."""
    before = torch.get_num_threads()
    try:
        yield
    finally:
        if torch.get_num_threads() != before:
            torch.set_num_threads(before)


def passes_of(target: Target, batch_size: int, widths: Iterable[int]) -> list[Part]:
    """One part for each of `widths`: eager passes of so many tokens in each of `batch_size` rows, narrow ones first."""
    return [_passes(target, batch_size, width) for width in sorted(set(widths))]


def _passes(target: Target, batch_size: int, width: int) -> Part:
    position = min(PROBED_POSITION, target.max_positions - width)
    tokens = torch.zeros(batch_size, width, dtype=torch.long, device=target.device)
    positions = torch.arange(position, position + width, device=target.device).expand(batch_size, -1)

    @torch.inference_mode()
    def part() -> float:
        cache = target.new_cache(batch_size, position + width, width)
        cache.reach = position + width
        spent: list[float] = []
        # The first pass wakes threads and pages; a pass that is long by itself needs no other.
        while len(spent) < 2 or sum(spent[1:]) < LOOK_S:
            started = time.perf_counter()
            target.logits(target.run(cache, tokens, positions).hidden[:, -1])
            spent.append(time.perf_counter() - started)
            if spent[0] > LOOK_S:
                break
        return sum(spent[1:] or spent) / len(spent[1:] or spent)

    return part

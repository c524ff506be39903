"""Progress and time left, on stderr, so that stdout stays the table and the last JSON line."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Column

SECONDS_BETWEEN_LINES = 20.0
SECONDS_BETWEEN_DRAWINGS = 0.1
SECONDS_BETWEEN_TICKS = 0.5
BAR_WIDTH = 16


class Bar(Protocol):
    """The progress of one run on a terminal."""

    def start(self) -> None: ...

    def draw(self, label: str, done: int) -> None:
        """Show `label` and the count, now."""

    def stop(self) -> None: ...


class OwnBar:
    """A line with a bar below everything else that is printed."""

    def __init__(self, console: Console, total: int) -> None:
        self.progress = Progress(
            # The label gives way to the figures where a terminal is narrow.
            TextColumn("{task.description}", markup=False, table_column=Column(ratio=1, no_wrap=True)),
            BarColumn(bar_width=BAR_WIDTH),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(elapsed_when_finished=False),
            console=console,
            expand=True,
            auto_refresh=False,
            transient=True,
        )
        self.task = self.progress.add_task("", total=total)
        self.start, self.stop = self.progress.start, self.progress.stop

    def draw(self, label: str, done: int) -> None:
        self.progress.update(self.task, description=label, completed=done)
        self.progress.refresh()


#: Makes the bar of the next run in place of its own: a sweep shows all its jobs in one table.
_make_bar: Callable[[RunProgress], Bar] | None = None


@contextmanager
def bars_made_by(make: Callable[[RunProgress], Bar]) -> Iterator[None]:
    """Let `make` give every run its bar."""
    global _make_bar
    before, _make_bar = _make_bar, make
    try:
        yield
    finally:
        _make_bar = before


class RunProgress:
    """Counts finished generations, or another `unit`. A live bar on a terminal, a line now and then elsewhere.

    The bar is drawn between generations only: a drawing thread would compete with the loop that is being timed. Where
    nothing is timed, while models load, warm up and compile, a clock ticks beside the bar.
    """

    def __init__(self, total: int, console: Console | None = None, unit: str = "generations") -> None:
        self.console, self.unit = console or Console(stderr=True), unit
        self.total, self.done = total, 0
        self.label = ""
        self.paces: dict[str, list[float]] = {}  # tokens and seconds of each arm so far
        self.started = self.last_line = self.last_drawing = time.monotonic()
        self.counted_from = 0
        self.bar: Bar | None = None
        self._ticking, self._closed = threading.Event(), False
        if _make_bar is not None:
            self.bar = _make_bar(self)
        elif self.console.is_terminal:
            self.bar = OwnBar(self.console, total)

    def __enter__(self) -> RunProgress:
        if self.bar is not None:
            self.bar.start()
            threading.Thread(target=self._tick, args=(self.bar,), daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closed = True
        self._ticking.set()  # the thread ends
        if self.bar is not None:
            self.bar.stop()

    def _tick(self, bar: Bar) -> None:
        """Redraw the clock while nothing is timed; wait without cost otherwise."""
        while self._ticking.wait() and not self._closed:
            bar.draw(self.label, self.done)
            time.sleep(SECONDS_BETWEEN_TICKS)

    def restart(self) -> None:
        """Begin the estimate now: the time before was not decoding."""
        self._ticking.clear()
        self.started, self.counted_from = time.monotonic(), self.done

    def skip(self, count: int) -> None:
        """Count work of an earlier attempt, which must not speed up the estimate."""
        self.done += count
        self.counted_from += count
        self._draw()

    def show(self, label: str) -> None:
        """Show `label` beside the bar; the clock stands still, as something may be timed now."""
        self._ticking.clear()
        self.label = label
        self._draw()

    def announce(self, label: str, *, timed: bool = False) -> None:
        """Show `label`, in a log as well: minutes may pass before anything counts. The clock ticks unless `timed`."""
        self.show(label)
        if self.bar is None:
            self.say(label)
        elif not timed:
            self._ticking.set()

    def advance(self, count: int = 1) -> None:
        self.done += count
        now = time.monotonic()
        if self.bar is not None:
            if now - self.last_drawing >= SECONDS_BETWEEN_DRAWINGS or self.done == self.total:
                self.last_drawing = now
                self._draw()
        elif now - self.last_line >= SECONDS_BETWEEN_LINES or self.done == self.total:
            self.last_line = now
            self.say(f"{self.done}/{self.total} {self.unit}, {self.remaining(now)} left ({self.label})")

    def _draw(self) -> None:
        if self.bar is not None:
            self.bar.draw(self.label, self.done)

    def took(self, arm: str, tokens: int, seconds: float) -> None:
        """Count decoded tokens and decode seconds of `arm`, for `speedups`."""
        pace = self.paces.setdefault(arm, [0.0, 0.0])
        pace[0] += tokens
        pace[1] += seconds

    def speedups(self, baseline: str) -> dict[str, float]:
        """Of every other arm, how many times as fast as `baseline` it decoded a token so far; {} while unknown."""
        seconds = {arm: spent / tokens for arm, (tokens, spent) in self.paces.items() if tokens and spent}
        own = seconds.pop(baseline, None)
        return {} if own is None else {arm: own / each for arm, each in seconds.items()}

    def remaining(self, now: float) -> str:
        """Time left at the pace so far, as m:ss or h:mm:ss; a question mark before there is a pace."""
        fresh = self.done - self.counted_from
        return "?" if fresh <= 0 else clock_text((now - self.started) / fresh * (self.total - self.done))

    def say(self, text: str) -> None:
        """One line for the reader of the log."""
        self.console.print(text, markup=False, highlight=False, soft_wrap=True)


def clock_text(seconds: float) -> str:
    """`seconds` as m:ss or h:mm:ss."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def speedups_text(speedups: Iterable[tuple[str, float]]) -> str:
    """`mtp 2.21x, dflash 3.49x`."""
    return ", ".join(f"{arm} {value:.2f}x" for arm, value in speedups)


def warn(text: str) -> None:
    """One line on stderr that begins with `warning:`."""
    print(f"warning: {text}", file=sys.stderr, flush=True)

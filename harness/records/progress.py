"""Progress, results so far and time left, on stderr, so that stdout stays the table and the last JSON line."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Protocol

from rich.console import Console
from rich.live import Live
from rich.progress import Progress, ProgressColumn, Task
from rich.table import Column
from rich.text import Text

from harness.records.terminal import fitted, width_of

SECONDS_BETWEEN_LINES = 20.0
SECONDS_BETWEEN_DRAWINGS = 0.1
SECONDS_BETWEEN_TICKS = 0.5
BAR_WIDTH = 16
BETWEEN = " · "
NO_PACE = "?"


class Bar(Protocol):
    """The progress of one run on a terminal."""

    def start(self) -> None: ...

    def draw(self, label: str, done: int) -> None:
        """Show `label` and the count, now."""

    def stop(self) -> None: ...


class OwnBar:
    """A line below everything else that is printed."""

    def __init__(self, run: RunProgress) -> None:
        self.progress = Progress(_Line(run), console=run.console, expand=True, auto_refresh=False, transient=True)
        self.progress.add_task("", total=run.total)
        self.start, self.draw, self.stop = self.progress.start, self._draw, self.progress.stop

    def _draw(self, label: str, done: int) -> None:
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
    """Counts finished generations, or another `unit`. A live line on a terminal, a line now and then elsewhere.

    The line is drawn between generations only: a drawing thread would compete with the loop that is being timed. Where
    nothing is timed, while models load, warm up and compile, a clock ticks in it.
    """

    def __init__(self, total: int, console: Console | None = None, unit: str = "generations") -> None:
        self.console, self.unit = console or Console(stderr=True), unit
        self.total, self.done = total, 0
        self.label = ""
        self.results: Sequence[str] = ()
        self.began = self.started = self.last_line = self.last_drawing = time.monotonic()
        self.counted_from = 0
        self.bar: Bar | None = None
        self._ticking, self._closed = threading.Event(), False
        if _make_bar is not None:
            self.bar = _make_bar(self)
        elif self.console.is_terminal:
            self.bar = OwnBar(self)

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

    def note(self, results: Sequence[str]) -> None:
        """Show these results so far, each a few words, from the next drawing or line on."""
        self.results = results

    def advance(self, count: int = 1) -> None:
        self.done += count
        now = time.monotonic()
        if self.bar is not None:
            if now - self.last_drawing >= SECONDS_BETWEEN_DRAWINGS or self.done == self.total:
                self.last_drawing = now
                self._draw()
        elif now - self.last_line >= SECONDS_BETWEEN_LINES or self.done == self.total:
            self.last_line = now
            so_far = f", {', '.join(self.results)} so far" if self.results else ""
            self.say(f"{self.done}/{self.total} {self.unit}{so_far}, {self.remaining(now)} left ({self.label})")

    def _draw(self) -> None:
        if self.bar is not None:
            self.bar.draw(self.label, self.done)

    def remaining(self, now: float) -> str:
        """Time left at the pace so far, as m:ss or h:mm:ss; a question mark before there is a pace."""
        fresh = self.done - self.counted_from
        return NO_PACE if fresh <= 0 else clock_text((now - self.started) / fresh * (self.total - self.done))

    def say(self, text: str) -> None:
        """One line for the reader of the log."""
        width = self.console.width if self.console.is_terminal else None
        self.console.print(fitted(text, width), markup=False, highlight=False, soft_wrap=True)


def clock_text(seconds: float) -> str:
    """`seconds` as m:ss or h:mm:ss."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


@contextmanager
def waiting(label: str, console: Console | None = None) -> Iterator[None]:
    """Show `label` and a ticking clock on a terminal until the block ends. Nothing may be timed in it."""
    console = console or Console(stderr=True)
    if not console.is_terminal or _make_bar is not None:
        yield
        return
    began = time.monotonic()

    def line() -> Text:
        return Text(f"{label}{BETWEEN}{clock_text(time.monotonic() - began)} elapsed", overflow="ellipsis")

    with Live(get_renderable=line, console=console, refresh_per_second=1 / SECONDS_BETWEEN_TICKS, transient=True):
        yield


class _Line(ProgressColumn):
    """The whole line of a run as one column, which knows the terminal's width."""

    def __init__(self, run: RunProgress) -> None:
        super().__init__(table_column=Column(ratio=1, no_wrap=True))
        self.run = run

    def render(self, task: Task) -> Text:
        run, now = self.run, time.monotonic()
        line = progress_line(
            run.done,
            run.total,
            run.unit,
            label=run.label,
            results=run.results,
            elapsed=clock_text(now - run.began),
            left=run.remaining(now).replace(NO_PACE, ""),
            width=run.console.width,
        )
        text = Text(line, overflow="ellipsis")
        text.highlight_regex("━+", "bar.complete")
        text.highlight_regex("╌+", "bar.back")
        return text


def progress_line(
    done: int,
    total: int,
    unit: str,
    *,
    label: str = "",
    results: Sequence[str] = (),
    elapsed: str = "",
    left: str = "",
    width: int = 80,
) -> str:
    """`code-012 dflash · 42/84 generations · mtp 1.71x · dflash 1.43x so far · 0:18 left`, as far as `width` allows.

    Given up in this order: the bar, the unit, the elapsed time, the label, and results from the last on. Count and time
    left stay.
    """
    filled = BAR_WIDTH * done // total if total else 0
    bar, shown = "━" * filled + "╌" * (BAR_WIDTH - filled), list(results)
    optional = [bar, unit, elapsed, label]  # "" for what was given up or is not there
    while True:
        bar, unit, elapsed, label = optional
        count = f"{done}/{total}" + (f" {unit}" if unit else "")
        so_far = f"{BETWEEN.join(shown)} so far" if shown else ""
        pieces = [label, bar, count, so_far, elapsed and f"{elapsed} elapsed", left and f"{left} left"]
        line = BETWEEN.join(piece for piece in pieces if piece)
        if len(line) <= width or not (any(optional) or shown):
            return line
        if any(optional):
            optional[next(place for place, one in enumerate(optional) if one)] = ""
        else:
            shown.pop()


def warn(text: str) -> None:
    """One line on stderr that begins with `warning:`."""
    print(fitted(f"warning: {text}", width_of(sys.stderr)), file=sys.stderr, flush=True)

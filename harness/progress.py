"""Progress and time left, on stderr, so that stdout stays the table and the last JSON line."""

from __future__ import annotations

import sys
import threading
import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Column

SECONDS_BETWEEN_LINES = 20.0
SECONDS_BETWEEN_DRAWINGS = 0.1
SECONDS_BETWEEN_TICKS = 0.5
BAR_WIDTH = 16


class RunProgress:
    """Counts finished generations, or another `unit`. A live bar on a terminal, a line now and then elsewhere.

    The bar is drawn between generations only: a drawing thread would compete with the loop that is being timed. Where
    nothing is timed, while models load, warm up and compile, a clock ticks beside the bar.
    """

    def __init__(self, total: int, console: Console | None = None, unit: str = "generations") -> None:
        self.console, self.unit = console or Console(stderr=True), unit
        self.total, self.done = total, 0
        self.label = ""
        self.started = self.last_line = self.last_drawing = time.monotonic()
        self.counted_from = 0
        self.bar: Progress | None = None
        self._ticking, self._closed = threading.Event(), False
        if self.console.is_terminal:
            self.bar = Progress(
                # The label gives way to the figures where a terminal is narrow.
                TextColumn("{task.description}", markup=False, table_column=Column(ratio=1, no_wrap=True)),
                BarColumn(bar_width=BAR_WIDTH),
                MofNCompleteColumn(),
                TimeElapsedColumn(),
                TextColumn("left"),
                TimeRemainingColumn(elapsed_when_finished=False),
                console=self.console,
                expand=True,
                auto_refresh=False,
                transient=True,
            )
            self.task = self.bar.add_task("", total=total)

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

    def _tick(self, bar: Progress) -> None:
        """Redraw the clock while nothing is timed; wait without cost otherwise."""
        while self._ticking.wait() and not self._closed:
            bar.refresh()
            time.sleep(SECONDS_BETWEEN_TICKS)

    def restart(self) -> None:
        """Begin the estimate now: the time before was not decoding."""
        self._ticking.clear()
        self.started, self.counted_from = time.monotonic(), self.done

    def skip(self, count: int) -> None:
        """Count work of an earlier attempt, which must not speed up the estimate."""
        self.done += count
        self.counted_from += count
        if self.bar is not None:
            self.bar.update(self.task, completed=self.done)
            self.bar.refresh()

    def show(self, label: str) -> None:
        """Show `label` beside the bar; the clock stands still, as something may be timed now."""
        self._ticking.clear()
        self.label = label
        if self.bar is not None:
            self.bar.update(self.task, description=label)
            self.bar.refresh()

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
            self.bar.update(self.task, completed=self.done)
            if now - self.last_drawing >= SECONDS_BETWEEN_DRAWINGS or self.done == self.total:
                self.last_drawing = now
                self.bar.refresh()
        elif now - self.last_line >= SECONDS_BETWEEN_LINES or self.done == self.total:
            self.last_line = now
            self.say(f"{self.done}/{self.total} {self.unit}, {self.remaining(now)} left ({self.label})")

    def remaining(self, now: float) -> str:
        """Time left at the pace so far, as m:ss or h:mm:ss; a question mark before there is a pace."""
        fresh = self.done - self.counted_from
        if fresh <= 0:
            return "?"
        seconds = round((now - self.started) / fresh * (self.total - self.done))
        minutes, seconds = divmod(seconds, 60)
        hours, minutes = divmod(minutes, 60)
        return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"

    def say(self, text: str) -> None:
        """One line for the reader of the log."""
        self.console.print(text, markup=False, highlight=False, soft_wrap=True)


def warn(text: str) -> None:
    """One line on stderr that begins with `warning:`."""
    print(f"warning: {text}", file=sys.stderr, flush=True)

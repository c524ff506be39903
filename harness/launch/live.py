"""A sweep on a terminal: one table with a row per job, drawn between generations; in a log a line after each job.

Jobs of this process report their own progress. Those of other processes, of joblib or of a cluster, are read from their
folders every few seconds.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from harness.launch.state import Job, Sweep
from harness.metrics.summary import overall, read_summary
from harness.records.progress import Bar, RunProgress, bars_made_by, clock_text
from harness.records.stored import counted
from harness.report.entry import say
from harness.vocabulary import BASELINE

SECONDS_BETWEEN_READINGS = 3.0
COLOURS = {"done": "green", "running": "cyan", "failed": "red", "pending": "dim", "dropped": "dim"}
NARROW = 72  # below it the table leaves out the time of each job
ROUND = 6  # lines around the rows


@dataclass(slots=True)
class Row:
    """One job as the table shows it. `share` of its generations is done; `speedups` are those so far."""

    job: Job
    label: str
    share: float = 0.0
    speedups: str = ""
    doing: str = ""
    started: float | None = None  # by time.monotonic

    @property
    def seconds(self) -> float | None:
        """Seconds that it ran, or has run so far."""
        if self.job.state == "running" and self.started is not None:
            return time.monotonic() - self.started
        return self.job.seconds

    @property
    def over(self) -> bool:
        return self.job.state in ("done", "failed", "dropped")


class SweepTable:
    """The jobs of a sweep; `here` says that they run in this process, `expected` how many a search will ask for."""

    def __init__(
        self, sweep: Sweep, *, here: bool, expected: int | None = None, console: Console | None = None
    ) -> None:
        self.sweep, self.folder, self.here, self.expected = sweep, sweep.folder, here, expected
        self.console = console or Console(stderr=True)
        self.rows: dict[int, Row] = {}
        self.live: Live | None = None
        self._ended = threading.Event()

    def add(self, jobs: Sequence[Job]) -> None:
        """Show these jobs too."""
        for job in jobs:
            self.rows.setdefault(job.job, Row(job, ""))
        labels = self.sweep.labels()
        for number, row in self.rows.items():
            row.label = labels[number]
            if row.job.state == "done" and not row.share:
                self.finish(row)
        self.draw()

    # -- what happens ------------------------------------------------------------------------------------------------

    def begin(self, number: int) -> None:
        """Job `number` of this process starts."""
        row = self.rows[number]
        row.job.state, row.started, row.doing = "running", time.monotonic(), "loading"
        self.draw()

    def end(self, number: int, state: str, reason: str | None, seconds: float) -> None:
        """Job `number` of this process ended."""
        row = self.rows[number]
        row.job.state, row.job.reason, row.job.seconds = state, reason, seconds
        self.finish(row)
        self.draw()
        if self.live is None:
            say(self.line())

    def finish(self, row: Row) -> None:
        """Take over the figures that a job left."""
        row.share, row.doing = 1.0, ""
        row.speedups = speedups_of(self.folder / str(row.job.job))

    def bar(self, progress: RunProgress) -> Bar:
        """The place of a run's progress in the table."""
        running = [row for row in self.rows.values() if row.job.state == "running"]
        return RowBar(self, running[-1], progress) if running else NoBar()

    def read(self) -> None:
        """Look at the folders of jobs that run elsewhere."""
        before = sum(row.over for row in self.rows.values())
        Sweep(self.folder, [row.job for row in self.rows.values()]).refresh()
        for row in self.rows.values():
            if row.job.state == "running":
                row.started = row.started or time.monotonic()
                row.share = share_of(self.folder / str(row.job.job))
            elif row.over and not row.share:
                self.finish(row)
        self.draw()
        if self.live is None and sum(row.over for row in self.rows.values()) > before:
            say(self.line())

    # -- what is shown -----------------------------------------------------------------------------------------------

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Show the table while the jobs run: live on a terminal, which nothing else may write to at the same time."""
        global current
        current = self if self.here else None
        with ExitStack() as stack:
            stack.callback(self._close)
            if self.console.is_terminal and sys.stdout.isatty():
                self.live = stack.enter_context(
                    Live(console=self.console, get_renderable=self.table, auto_refresh=False, vertical_overflow="crop")
                )
                if self.here:
                    stack.enter_context(bars_made_by(self.bar))
            if not self.here:
                threading.Thread(target=self._watch, daemon=True).start()
            yield

    def _close(self) -> None:
        global current
        current = None
        self._ended.set()

    def _watch(self) -> None:
        while not self._ended.wait(SECONDS_BETWEEN_READINGS):
            self.read()

    def draw(self) -> None:
        if self.live is not None:
            self.live.refresh()

    def table(self) -> Table:
        """The jobs, as many as the terminal has lines for: those that are over give way first."""
        wide = self.console.width >= NARROW
        table = Table(box=None, pad_edge=False, expand=True, caption=Text(self.line()), caption_justify="left")
        for name, ratio in (("job", None), ("state", None), ("settings", 3), ("speedup", 2)):
            table.add_column(name, ratio=ratio, overflow="fold")
        if wide:
            table.add_column("time", justify="right", no_wrap=True)
        rows, hidden = self.visible()
        if hidden:
            table.add_row("", Text(f"{hidden} more", style="dim"))
        for row in rows:
            state = f"{row.share:.0%}" if row.job.state == "running" else row.job.state
            said = row.speedups or row.doing or (row.job.reason or "" if row.job.state == "failed" else "")
            cells = [Text(str(row.job.job)), Text(state, style=COLOURS[row.job.state]), Text(row.label), Text(said)]
            seconds = row.seconds
            table.add_row(*cells, *([Text("" if seconds is None else clock_text(seconds))] if wide else []))
        return table

    def visible(self) -> tuple[list[Row], int]:
        """The rows that fit, and the number of those that do not."""
        rows = list(self.rows.values())
        room = max(self.console.height - ROUND, 3)
        if len(rows) <= room:
            return rows, 0
        first = next((index for index, row in enumerate(rows) if not row.over), len(rows))
        start = max(0, min(first - 2, len(rows) - room))
        return rows[start : start + room], len(rows) - room

    def line(self) -> str:
        """`3 of 8 jobs, 41 %, 12:30 left`."""
        rows = list(self.rows.values())
        over, count = sum(row.over for row in rows), max(len(rows), self.expected or 0)
        share = sum(1.0 if row.over else row.share for row in rows) / count if count else 1.0
        left = self.seconds_left()
        said = f"{over} of {count} jobs, {share:.0%}"
        return said + (", time left unknown" if left is None else f", {clock_text(left)} left" if left else "")

    def seconds_left(self) -> float | None:
        """At the pace of the jobs that are done, or of the running one; None before there is a pace."""
        rows = self.rows.values()
        known = [row.job.seconds for row in rows if row.job.state == "done" and row.job.seconds]
        known = known or [row.seconds / row.share for row in rows if row.share > 0 and row.seconds and not row.over]
        to_come = max(0, (self.expected or 0) - len(rows))
        shares = [row.share for row in rows if not row.over] + [0.0] * to_come
        if not shares:
            return 0.0
        if not known:
            return None
        typical = sum(known) / len(known)
        together = 1 if self.here else max(1, sum(row.job.state == "running" for row in rows))
        return sum(typical * (1 - share) for share in shares) / together


#: The table of the sweep whose jobs run in this process.
current: SweepTable | None = None


class RowBar:
    """A running job's progress, in its row."""

    def __init__(self, table: SweepTable, row: Row, progress: RunProgress) -> None:
        self.table, self.row, self.progress = table, row, progress

    def start(self) -> None:
        self.table.draw()

    def draw(self, label: str, done: int) -> None:
        """Show the share that is done, and the speedups so far or else what is being done."""
        self.row.share = done / self.progress.total if self.progress.total else 0.0
        self.row.doing = label
        self.row.speedups = ", ".join(self.progress.results)
        self.table.draw()

    def stop(self) -> None:
        self.table.draw()


class NoBar:
    """For work that is no job's."""

    def start(self) -> None: ...

    def draw(self, label: str, done: int) -> None: ...

    def stop(self) -> None: ...


def speedups_of(run_dir: Path) -> str:
    """The speedups of a finished run; empty for one without."""
    try:
        rows = overall(read_summary(run_dir))
    except Exception:  # nothing to show is no reason to stop a sweep
        return ""
    known = [row for row in rows if row["arm"] != BASELINE and row.get("speedup_decode")]
    return ", ".join(
        f"{row['arm']} {row['speedup_decode']:.2f}x" + (" MISMATCH" if row.get("verdict_mismatch") else "")
        for row in known
    )


def share_of(run_dir: Path) -> float:
    """The share of a running job's generations that its journal holds; 0 before that is known."""
    done, whole = counted(run_dir)
    return min(1.0, done / whole) if whole else 0.0

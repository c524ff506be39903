"""Several engines on the page: each arm's own speedup, and its acceptance beside the harness's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.metrics.definitions import OF_ENGINES
from harness.report.engine_words import parting_lines
from harness.report.names import NONE, clean, known, number, percent, span, times
from harness.report.page.data import RunData
from harness.report.page.tables import Cell, Line, Table

ABOUT = {definition.name: definition.text for definition in OF_ENGINES}
COLUMNS = (
    ("Own speedup", ABOUT["own_speedup"]),
    ("Over the fastest", ABOUT["speedup_over_fastest"]),
    ("Accepted", ABOUT["acceptance.other_rate"]),
    ("In harness", ABOUT["acceptance.rate"]),
    ("Past the end", ABOUT["acceptance.past_end"]),
    ("Counted alike", ABOUT["acceptance.difference"]),
    ("Differ at", ABOUT["acceptance.positions"]),
)


def engine_table(run: RunData) -> Table:
    """Every drafting arm of a run with several engines; without lines for any other run."""
    series = {(one.dataset, one.batch_size, one.arm): one for one in run.series}
    lines = []
    for row in run.summary.get("engines") or ():
        one = series.get((row["dataset"], row["batch_size"], row["arm"]))
        label, colour = (clean(row["arm"]), "") if one is None else (one.label, one.colour)
        lines.append(Line(label, colour, (*_speedups(row), *_acceptance(row["acceptance"]))))
    return Table(COLUMNS, tuple(lines))


def engine_notes(run: RunData) -> list[str]:
    """Where answers of other weights part from the harness's, and the conventions in which the engines differ."""
    conventions = run.manifest.get("differing_conventions")
    lines = [*parting_lines(run.summary), *(conventions if isinstance(conventions, list) else ())]
    return [clean(f"{line}.") for line in lines]


def _speedups(row: Mapping[str, Any]) -> list[Cell]:
    cells = []
    for name in ("own_speedup", "speedup_over_fastest"):
        low, high = row[f"{name}_low"], row[f"{name}_high"]
        cells.append(Cell(times(row[name]), span(low, high), _tone(low, high, 1)) if known(row[name]) else Cell(NONE))
    return cells


def _tone(low: Any, high: Any, same: float) -> str:
    """Green where the interval lies above `same`, red where it lies below."""
    if not known(low) or not known(high) or low <= same <= high:
        return "quiet"
    return "good" if low > same else "bad"


def _acceptance(found: Mapping[str, Any] | None) -> tuple[Cell, ...]:
    if found is None:
        return (Cell(NONE),) * 5
    apart = [one for one in found["positions"] if _tone(one["difference_low"], one["difference_high"], 0) != "quiet"]
    low, high = (number(_points(found[f"difference_{side}"]), 1, signed=True) for side in ("low", "high"))
    return (
        Cell(percent(found["other_rate"])),
        Cell(percent(found["rate"]), f"{found['prompts']} prompts"),
        Cell(number(_points(found["past_end"]), 1, " points")),
        Cell(
            number(_points(found["difference"]), 1, " points", signed=True),
            f"{low} to {high}" if known(found["difference_low"]) else "no interval",
            "quiet" if _tone(found["difference_low"], found["difference_high"], 0) == "quiet" else "warn",
        ),
        Cell(
            ", ".join(str(one["position"]) for one in apart) or "none",
            "\n".join(f"{one['position']}: {percent(one['other_rate'])}, here {percent(one['rate'])}" for one in apart),
        ),
    )


def _points(share: Any) -> Any:
    return 100 * share if known(share) else None

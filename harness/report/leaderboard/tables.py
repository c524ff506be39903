"""The leaderboard's tables: the ranking, the controls, the best k, speedup by batch size, and pairs of one run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from harness.report.charts.palette import arm_colour
from harness.report.leaderboard.batches import batch_table
from harness.report.leaderboard.board import RANKED_TOGETHER, Leaderboard
from harness.report.leaderboard.headline import TITLES, estimate, plain, records, varying, who
from harness.report.names import NONE, arm_name, clean, is_control, known, number, percent, span, times
from harness.report.page.tables import Cell, Line, Table, accuracy_cell, speedup_cell, verdict_cell
from harness.vocabulary import ALL

RANKING, CONTROLS, BEST = "Leaderboard", "Controls, not ranked", "Best k"
BATCHES, PAIRS = "Speedup by k and batch size", "Head to head, within one run"
FLOOR_TITLES = {
    "strength": "Strength",
    "baseline_strength": "Baseline’s strength",
    "speedup_at_floor": "Speedup at the floor",
}


def tables(board: Leaderboard, links: Mapping[str, str] | None = None) -> list[tuple[str, Table, str]]:
    """(heading, table, title of its first column) of each table that has lines; `links` to runs by their labels."""
    links = links or {}
    made = [
        (RANKING, _rows_table(board, links, controls=False), "Arm"),
        (CONTROLS, _rows_table(board, links, controls=True), "Arm"),
        (BEST, _best_table(board), "Category"),
        (BATCHES, batch_table(board), "Arm"),
        (PAIRS, _pairs_table(board, links), "Arms"),
    ]
    return [(heading, table, first) for heading, table, first in made if table.lines]


def _rows_table(board: Leaderboard, links: Mapping[str, str], *, controls: bool) -> Table:
    rows = board.overall[board.overall["kind"].map(is_control) == controls]
    differing = varying(rows, [*RANKED_TOGETHER, "temperature"])
    scored = rows["accuracy"].notna().any()
    columns = [*(TITLES[name] for name in differing), "Speedup", "Same output?", "End to end", "Tokens/round"]
    together = ["throughput_tok_s"] if (rows["batch_size"] > 1).any() else []
    columns += ["Drafts accepted", "Tokens/s", *(["Tokens/s, all rows"] if together else [])]
    columns += [*(["Accuracy"] if scored else []), "Prompts", "Run"]
    floors = [name for name in FLOOR_TITLES if rows[name].notna().any()]
    columns[-2:-2] = [FLOOR_TITLES[name] for name in floors]
    lines = []
    for row in records(rows):
        void = bool(known(row["verdict_mismatch"]) and row["verdict_mismatch"])
        cells = [_sorted(Cell(plain(row[name])), row[name]) for name in differing]
        cells += [_sorted(speedup_cell(row), row["speedup_decode"]), verdict_cell(row)]
        figures: list[tuple[str, Callable[[Any], str]]] = [
            ("speedup_end_to_end", times),
            ("acceptance_length", number),
            ("acceptance_rate", percent),
            *((name, _one_digit) for name in ("decode_tok_s", *together)),
        ]
        cells += [_sorted(Cell(text(row[name])), row[name]) for name, text in figures]
        cells += [_sorted(accuracy_cell(row), row["accuracy"])] if scored else []
        cells += [
            _sorted(Cell((times if name == "speedup_at_floor" else number)(row[name])), row[name]) for name in floors
        ]
        cells += [_sorted(Cell(number(row["paired_prompts"], 0)), row["paired_prompts"])]
        cells += [Cell(clean(row["run"]), "synthetic" if row["synthetic"] else "", link=links.get(row["run"], ""))]
        lines.append(_line(row["arm"], row["num_draft_tokens"], cells, void))
    return Table(tuple((name, "") for name in columns), tuple(lines))


def _sorted(cell: Cell, figure: Any) -> Cell:
    return replace(cell, sort=float(figure)) if known(figure) else cell


def _one_digit(value: Any) -> str:
    return number(value, 1)


def _best_table(board: Leaderboard) -> Table:
    """The best k: categories down, arms across, with the other k that are as good."""
    best = board.best
    differing = varying(best, RANKED_TOGETHER)
    arms = {arm: is_control(kind) for arm, kind in zip(best["arm"], best["kind"], strict=True)}
    lines = []
    for _, own in best.groupby([*RANKED_TOGETHER, "category"], sort=False):
        found = {row["arm"]: row for row in records(own)}
        first = next(iter(found.values()))
        label = "all categories" if first["category"] == ALL else clean(first["category"])
        where = ", ".join(f"{TITLES[name].lower()} {plain(first[name])}" for name in differing)
        lines.append(Line(label, "", tuple(_best_cell(found.get(arm)) for arm in arms), where))
    titles = (f"{arm_name(clean(arm))}{', a control' if control else ''}" for arm, control in arms.items())
    return Table(tuple((title, "") for title in titles), tuple(lines))


def _best_cell(row: dict[str, Any] | None) -> Cell:
    if row is None:
        return Cell(NONE)
    if not known(row["speedup_decode_low"]):
        # Without an interval no k is better than another: the highest figure is no choice.
        said = f"tried {row['tried']}\nhighest at k = {row['best_k']}: {estimate(row)}"
        return Cell("too few prompts", said, "quiet")
    said = f"{times(row['speedup_decode'])}, {span(row['speedup_decode_low'], row['speedup_decode_high'])}"
    said += f"\nas good: {row['as_good']}" if row["as_good"] else ""
    return Cell(f"k = {row['best_k']}", said, "" if is_control(row["kind"]) else "best")


def _pairs_table(board: Leaderboard, links: Mapping[str, str]) -> Table:
    differing = varying(board.pairs, ["group", "dataset", "batch_size"])
    names = [*(TITLES[name] for name in differing), "Times as fast", "Verdict", "Prompts", "Run"]
    lines = []
    for row in records(board.pairs):
        words = str(row["speedup_decode_words"] or "not distinguishable")
        tone = {"faster": "good", "slower": "bad", "void": "bad"}.get(words, "quiet")
        interval = span(row["speedup_decode_low"], row["speedup_decode_high"])
        fast = Cell(times(row["speedup_decode"]), "" if interval == NONE else interval)
        cells = [*(Cell(plain(row[name])) for name in differing), fast]
        cells += [Cell(words, tone=tone), Cell(number(row["paired_prompts"], 0))]
        cells += [Cell(clean(row["run"]), link=links.get(row["run"], ""))]
        other = who(row["other"], row["other_num_draft_tokens"])
        line = _line(row["arm"], row["num_draft_tokens"], cells)
        lines.append(Line(line.label, line.colour, line.cells, f"{line.mark} against {other}"))
    return Table(tuple((name, "") for name in names), tuple(lines))


def _line(arm: object, k: object, cells: Sequence[Cell], void: bool = False) -> Line:
    mark = f"k = {k}" if k else ""
    return Line(arm_name(clean(arm)), arm_colour(str(arm)), tuple(cells), mark, void)

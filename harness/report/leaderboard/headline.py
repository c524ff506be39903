"""The verdict of a leaderboard, by the rules of a report's headline: a claim needs an interval, controls never lead."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pandas as pd

from harness.metrics.summary import overall
from harness.report.leaderboard.board import RANKED_TOGETHER, Leaderboard, is_void
from harness.report.leaderboard.conditions import facts, pace_difference
from harness.report.names import NONE, arm_name, clean, compact, is_control, known, listed, span, times
from harness.report.page.headline import Headline
from harness.vocabulary import BASELINE

BoardRow = dict[str, Any]
TITLES = {
    "group": "Group",
    "dataset": "Dataset",
    "batch_size": "Batch",
    "engine": "Engine",
    "temperature": "Temperature",
}


def headline(board: Leaderboard) -> Headline:
    """The leader if all rows form one ranking; else the verdict of each ranking, with every arm at its best."""
    found = list(_parts(board))
    if not found:
        said = Headline(*_nothing(board))
    elif len(found) > 1:
        lines = [f"{where}: {verdict.title}; {'; '.join(verdict.sentences)}" for where, verdict in found]
        said = Headline("even", f"{len(board.runs)} runs, {len(board.overall)} rows", tuple(map(_sentence, lines)))
    else:
        [(_, verdict)] = found
        said = Headline(verdict.tone, verdict.title, (_sentence("; ".join(verdict.sentences)),))
    led = competing(board)
    made_up = bool(led["synthetic"].iloc[0]) if len(led) else bool(board.synthetic)
    return Headline(said.tone, f"Synthetic: {said.title}", said.sentences) if made_up else said


def competing(board: Leaderboard) -> pd.DataFrame:
    """Ranked rows over all categories: the fastest first, those without an interval last."""
    rows = board.overall
    return rows[~is_void(rows) & ~rows["kind"].map(is_control).astype(bool)]


def legend(board: Leaderboard) -> list[str]:
    """A line per group: target, datasets, decoding, machine and dates of its runs; then runs of one process."""
    said = []
    for letter in board.groups:
        own = [run for run in board.runs if board.letters[run.label] == letter]
        datasets = [str(row["dataset"]) for run in own for row in run.summary["rows"]]
        line = facts([run.manifest for run in own], datasets)
        said.append(clean(f"Group {letter}: {line}" if len(board.groups) > 1 else _sentence(line)))
    alone = [run.label for run in board.runs if (run.summary.get("run_to_run") or {}).get("processes") == 1]
    if alone:
        whose = "Every run is" if len(alone) == len(board.runs) else f"{listed(alone)} {'are' if alone[1:] else 'is'}"
        said.append(clean(f"{whose} of one process: its intervals lack the variation from run to run (restarts=3)."))
    return said


def pace_warnings(board: Leaderboard) -> list[str]:
    """A sentence for each group, dataset and batch size whose baselines differ too much in pace."""
    paces: dict[tuple[str, str, int], dict[str, float]] = {}
    for run in board.runs:
        for row in overall(run.summary):
            pace = row.get("decode_tok_s")
            if row["arm"] == BASELINE and known(pace) and pace > 0:
                place = (board.letters[run.label], str(row["dataset"]), int(row["batch_size"]))
                paces.setdefault(place, {})[run.label] = float(pace)
    return [text for own in paces.values() if (text := pace_difference(own))]


def _parts(board: Leaderboard) -> Iterator[tuple[str, Headline]]:
    """Each ranking in words, with its verdict."""
    led = competing(board)
    differing = varying(led, RANKED_TOGETHER)
    for _, own in led.groupby(RANKED_TOGETHER, sort=False):
        rows = records(own.drop_duplicates("arm"))
        where = ", ".join(f"{TITLES[name].lower()} {plain(rows[0][name])}" for name in differing)
        sentences = [f"{who(row['arm'], row['num_draft_tokens'])}: {estimate(row)}" for row in rows]
        yield where, Headline(*_verdict(rows, board.pairs), tuple(sentences))


def _verdict(rows: list[BoardRow], pairs: pd.DataFrame) -> tuple[Any, str]:
    """Tone and title; `rows` hold each arm at its best, the fastest first."""
    first, others = rows[0], rows[1:]
    name = who(first["arm"], first["num_draft_tokens"])
    if not known(first["speedup_decode_low"]):
        title = "Too few prompts to say who leads" if others else f"Too few prompts to judge {_arm(first)}"
        return "even", title
    if all(row["speedup_decode_words"] == "slower" for row in rows):
        return "clear", "Plain decoding is the fastest" if others else f"{_arm(first)} is slower than plain decoding"
    if first["speedup_decode_words"] != "faster":
        return "even", f"{name} is not distinguishable from plain decoding"
    unbounded = [row for row in others if not known(row["speedup_decode_low"])]
    if unbounded:
        return "even", f"Too few prompts to tell {listed([_arm(row) for row in (first, *unbounded)])} apart"
    rivals = [row for row in others if not _clearly_faster(first, row, pairs)]
    if rivals:
        names = [who(row["arm"], row["num_draft_tokens"]) for row in (first, *rivals)]
        return "even", f"{listed(names)} are not distinguishable"
    return "clear", f"{name} leads with {times(first['speedup_decode'])}"


def _clearly_faster(first: BoardRow, other: BoardRow, pairs: pd.DataFrame) -> bool:
    """Whether `first` is clearly faster: by direct comparison within one run, else by disjoint intervals."""
    if first["run"] == other["run"]:
        same = pairs[(pairs["run"] == first["run"]) & (pairs["dataset"] == first["dataset"])]
        same = same[same["batch_size"] == first["batch_size"]]
        for pair in records(same):
            sides = ((pair["arm"], pair["num_draft_tokens"]), (pair["other"], pair["other_num_draft_tokens"]))
            ours, theirs = ((row["arm"], row["num_draft_tokens"]) for row in (first, other))
            if sides in ((ours, theirs), (theirs, ours)):
                return bool(pair["speedup_decode_words"] == ("faster" if sides[0] == ours else "slower"))
    return bool(first["speedup_decode_low"] > other["speedup_decode_high"])


def _nothing(board: Leaderboard) -> tuple[Any, str]:
    rows = board.overall
    if rows.empty:
        return "even", "Only baselines ran, there is nothing to rank"
    rivals = rows[~rows["kind"].map(is_control).astype(bool)]
    if rivals.empty:
        return "even", "Only controls ran, which are not ranked"
    if (rivals["verdict_mismatch"].fillna(0) > 0).all():
        return "void", "No arm reproduces the target’s output"
    return "void", "Nothing could be compared"


def estimate(row: BoardRow) -> str:
    """`2.45× (2.30 to 2.61)`."""
    interval = span(row["speedup_decode_low"], row["speedup_decode_high"])
    return f"{times(row['speedup_decode'])} ({'too few prompts: no interval' if interval == NONE else interval})"


def who(arm: object, k: object) -> str:
    """An arm with its k in words: `MTP at k = 4`."""
    return f"{arm_name(clean(arm))} at k = {k}"


def plain(value: object) -> str:
    """A cell's value as text."""
    return NONE if value is None else compact(value) if isinstance(value, float) else clean(value)


def varying(table: pd.DataFrame, names: list[str]) -> list[str]:
    """The columns of `names` in which rows differ."""
    return [name for name in names if table[name].nunique(dropna=False) > 1]


def records(table: pd.DataFrame) -> list[BoardRow]:
    """Rows as dictionaries, with None for unknown values."""
    known_only = table.astype(object).where(table.notna(), None)
    return [{str(name): value for name, value in row.items()} for row in known_only.to_dict("records")]


def _arm(row: BoardRow) -> str:
    return arm_name(clean(row["arm"]))


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}"

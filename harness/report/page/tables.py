"""The report's tables as plain values, every number as the text that the template prints."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from harness.metrics.definitions import BY_NAME
from harness.metrics.summary import SummaryRow
from harness.report.floor_words import strength_text
from harness.report.names import NONE, arm_name, bytes_text, clean, known, number, percent, span, times
from harness.report.page.data import RunData, Series
from harness.report.places import without_places
from harness.vocabulary import ALL, BASELINE, VERDICTS

SEVERITIES = ("error", "warning", "info")
OTHERS_LENGTHS = (
    "acceptance_length",
    "al_as_vllm",
    "al_as_specbench",
    "al_as_dflash",
    "al_as_specforge",
    "al_as_gptfast",
)


@dataclass(frozen=True, slots=True)
class Cell:
    """One table cell: `small` print beneath `text`, `tone` for the colour, `heat` from -1 (slower) to 1 (faster).

    `sort` is the figure by which a reader's script sorts the column; `link` leads to another page.
    """

    text: str
    small: str = ""
    tone: str = ""
    heat: float | None = None
    sort: float | None = None
    link: str = ""


@dataclass(frozen=True, slots=True)
class Line:
    """A labelled row: `colour` names a palette entry, `mark` stands beside the label, a `void` row does not count."""

    label: str
    colour: str
    cells: tuple[Cell, ...]
    mark: str = ""
    void: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """`columns` are (title, definition to show on hover)."""

    columns: tuple[tuple[str, str], ...]
    lines: tuple[Line, ...]


def _defined(title: str, name: str) -> tuple[str, str]:
    return title, BY_NAME[name].text


ARM_COLUMNS = (
    _defined("Speedup", "speedup_decode"),
    _defined("Same output?", "verdict"),
    _defined("Tokens/s", "decode_tok_s"),
    _defined("End to end", "speedup_end_to_end"),
    _defined("Tokens/round", "acceptance_length"),
    _defined("Drafts accepted", "acceptance_rate"),
    _defined("Slots kept", "verified_slots_used"),
    _defined("Accuracy", "accuracy"),
    _defined("First token", "ttft_ms"),
    _defined("Memory", "peak_memory_over_baseline_bytes"),
)


def arms_table(run: RunData) -> Table:
    """Every arm over all categories, against the baseline of the same run; without columns that stay empty."""
    lines = [_arm_line(run, one) for one in run.series]
    kept = [place for place in range(len(ARM_COLUMNS)) if any(line.cells[place].text != NONE for line in lines)]
    return Table(
        tuple(ARM_COLUMNS[place] for place in kept),
        tuple(replace(line, cells=tuple(line.cells[place] for place in kept)) for line in lines),
    )


def _arm_line(run: RunData, one: Series) -> Line:
    row = run.row(one)
    is_baseline = one.arm == BASELINE
    void = bool(row.get("verdict_mismatch"))
    # A share of the drafts falls with k: it compares arms of one k only.
    apart = "quiet" if len({each.num_draft_tokens for each in run.drafting}) > 1 else ""
    speedup = Cell("1.00×", "the reference") if is_baseline else speedup_cell(row)
    end = Cell("1.00×") if is_baseline else Cell(times(row.get("speedup_end_to_end")), _span_of(row, "end_to_end"))
    memory = "peak_memory_bytes" if is_baseline else "peak_memory_over_baseline_bytes"
    plus = "+" if not is_baseline and known(row.get(memory)) and row[memory] >= 0 else ""
    cells = (
        speedup,
        Cell("the reference") if is_baseline else verdict_cell(row),
        Cell(number(row.get("decode_tok_s"), 1)),
        end,
        Cell(number(row.get("acceptance_length"))),
        Cell(percent(row.get("acceptance_rate")), tone=apart),
        Cell(percent(row.get("verified_slots_used")), tone=apart),
        accuracy_cell(row),
        Cell(number(row.get("ttft_ms"), 1, " ms"), f"p95 {number(row.get('ttft_p95_ms'), 1, ' ms')}"),
        Cell(plus + bytes_text(row.get(memory))),
    )
    mark = f"k = {one.num_draft_tokens}" if one.num_draft_tokens else ""
    mark = f"{mark} · control" if one.is_control and not is_baseline else mark
    return Line(one.label, one.colour, cells, mark, void)


def speedup_cell(row: SummaryRow) -> Cell:
    """The decode speedup with its interval, and `n.d.` if the interval includes 1."""
    value, words = row.get("speedup_decode"), row.get("speedup_decode_words")
    if not known(value):
        return Cell(NONE, "nothing to compare")
    if not known(row.get("speedup_decode_low")):
        return Cell(times(value), f"{counted_prompts([row])}: no interval", "quiet")
    tone = {"faster": "good", "slower": "bad"}.get(str(words), "quiet")
    small = _span_of(row, "decode")
    small = f"{small}, n.d." if words == "not distinguishable" else small
    return Cell(times(value), small, "void" if row.get("verdict_mismatch") else tone)


def counted_prompts(rows: Sequence[SummaryRow]) -> str:
    """The number of paired prompts of `rows`: `12 prompts`, or `9 to 12 prompts` if they differ."""
    counts = sorted({int(row.get("paired_prompts") or 0) for row in rows})
    words = str(counts[0]) if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    return f"{words} prompt{'' if counts == [1] else 's'}"


def accuracy_cell(row: SummaryRow) -> Cell:
    """The mean score, with the number of scored outputs if some have no score."""
    scored = int(row.get("scored") or 0)
    return Cell(percent(row.get("accuracy")), f"of {scored}" if scored and scored != row.get("generations") else "")


def _span_of(row: SummaryRow, clock: str) -> str:
    low, high = row.get(f"speedup_{clock}_low"), row.get(f"speedup_{clock}_high")
    return span(low, high) if known(low) and known(high) else ""


def verdict_cell(row: SummaryRow) -> Cell:
    """The worst verdict in words, with the counts of all verdicts beneath it."""
    counts = {name: int(row.get(f"verdict_{name}") or 0) for name in VERDICTS}
    said = [f"{count} {'not judged' if name == 'none' else name}" for name, count in counts.items() if count]
    if row.get("errors"):
        said.append(f"{row['errors']} failed")
    small = ", ".join(said)
    if counts["mismatch"]:
        return Cell("MISMATCH", small, "bad")
    if row.get("errors") and not row.get("generations"):
        return Cell("failed", small, "bad")
    if counts["tie"]:
        return Cell("yes, but for ties", small, "warn")
    if counts["exact"]:
        return Cell("yes", small, "good")
    if row.get("synthetic"):
        return Cell("not claimed", "synthetic", "quiet")
    return Cell("not judged", small, "quiet")


def matrix_table(run: RunData) -> Table:
    """Categories down, drafting arms across: speedup with interval and acceptance length."""
    columns = tuple((one.label, "Decode speedup over the baseline, interval, tokens per round") for one in run.drafting)
    lines = []
    for category in [*run.categories, ALL]:
        rows = [run.row(one, category) for one in run.drafting]
        if not any(rows):
            continue
        # Controls do not compete, and neither do arms whose text is not the target's.
        rivals = [row for row in (run.row(one, category) for one in run.contenders) if not row.get("verdict_mismatch")]
        best = max((row["speedup_decode"] for row in rivals if known(row.get("speedup_decode"))), default=None)
        cells = tuple(_matrix_cell(row, best if len(rivals) > 1 else None) for row in rows)
        label = "all categories" if category == ALL else clean(category)
        lines.append(Line(label, "", cells, counted_prompts([row for row in rows if row])))
    return Table(columns, tuple(lines))


def _matrix_cell(row: SummaryRow, best: float | None) -> Cell:
    value = row.get("speedup_decode")
    if not known(value):
        return Cell(NONE)
    speedup = speedup_cell(row)
    small = f"{_span_of(row, 'decode') or 'no interval'}\n{number(row.get('acceptance_length'))} tok/round"
    if row.get("verdict_mismatch"):
        return Cell(speedup.text, f"mismatch\n{small}", "void", None)
    tone = "best" if value == best else ""
    # The shade is full at 4 times as fast or as slow.
    return Cell(speedup.text, small, tone, max(-1.0, min(1.0, math.log(float(value)) / math.log(4))))


STRENGTH_COLUMNS = (
    ("Pass of the target", "Decode for the baseline, verify for the others: measured, and the floor beneath"),
    _defined("Its strength", "verify_strength"),
    ("Draft", "Proposing and taking in verified rows: measured, and the floor beneath"),
    _defined("Its strength", "draft_strength"),
    _defined("Whole round", "floor_ms"),
    _defined("Its strength", "strength"),
    _defined("Speedup", "speedup_decode"),
    _defined("At the floor", "speedup_at_floor"),
)


def strength_table(run: RunData) -> Table:
    """Every arm's passes, measured and at their floor; without lines where no arm has a floor."""
    lines = [_strength_line(run, one) for one in run.series if known(run.row(one).get("verify_floor_ms"))]
    return Table(STRENGTH_COLUMNS, tuple(lines))


def _strength_line(run: RunData, one: Series) -> Line:
    row, is_baseline = run.row(one), one.arm == BASELINE
    parts = [row.get(f"{part}_ms") for part in ("draft", "verify", "other")]
    whole = sum(part for part in parts if known(part)) if all(map(known, parts)) else None
    cells = (
        _floor_cell(row.get("verify_ms"), row.get("verify_floor_ms")),
        Cell(strength_text(row.get("verify_strength"))),
        Cell(NONE) if is_baseline else _floor_cell(row.get("draft_ms"), row.get("draft_floor_ms")),
        Cell(strength_text(row.get("draft_strength"))),
        _floor_cell(whole, row.get("floor_ms")),
        Cell(strength_text(row.get("strength"))),
        Cell("1.00×") if is_baseline else Cell(times(row.get("speedup_decode"))),
        Cell(times(row.get("speedup_at_floor"))),
    )
    mark = f"k = {one.num_draft_tokens}" if one.num_draft_tokens else ""
    return Line(one.label, one.colour, cells, mark)


def _floor_cell(measured: Any, floor: Any) -> Cell:
    """Milliseconds measured, the floor beneath."""
    return Cell(number(measured, 2, " ms"), f"floor {number(floor, 3, ' ms')}")


def others_table(run: RunData) -> Table:
    """Acceptance length by the rules of other tools: a published figure belongs beside its own tool's column."""
    titles = ("ours", "vLLM", "Spec-Bench", "dflash", "SpecForge", "gpt-fast")
    columns = tuple(_defined(title, name) for title, name in zip(titles, OTHERS_LENGTHS, strict=True))
    lines = tuple(
        Line(
            one.label,
            one.colour,
            tuple(Cell(number(run.row(one).get(name), 3)) for name in OTHERS_LENGTHS),
        )
        for one in run.drafting
    )
    return Table(columns, lines)


def guard_list(run: RunData) -> list[dict[str, Any]]:
    """The summary's guards, errors first."""
    guards = sorted(
        run.summary.get("guards", []),
        key=lambda guard: SEVERITIES.index(guard["severity"]) if guard["severity"] in SEVERITIES else 1,
    )
    return [
        {
            "severity": guard["severity"],
            "code": str(guard["code"]).replace("_", " "),
            "message": clean(without_places(str(guard["message"]))),
            "where": ", ".join(
                filter(
                    None,
                    (
                        arm_name(clean(guard["arm"])) if guard.get("arm") else "",
                        clean(guard["category"]) if guard.get("category") not in (None, ALL) else "",
                    ),
                )
            ),
        }
        for guard in guards
    ]

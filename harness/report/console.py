"""The console's view of a run: one table for people, one JSON line for scripts."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from harness.metrics.definitions import named
from harness.metrics.guards import SYNTHETIC
from harness.metrics.statistics import MIN_PROMPTS
from harness.metrics.summary import overall
from harness.vocabulary import BASELINE

MIN_WIDTH = 140  # so that a log keeps a row on a line
JSON_FIELDS = named(
    "num_draft_tokens",
    "batch_size",
    "prompts",
    "generations",
    "errors",
    "tainted",
    "tokens",
    "rounds",
    "decode_tok_s",
    "throughput_tok_s",
    "end_to_end_tok_s",
    "ttft_ms",
    "speedup_decode",
    "speedup_decode_low",
    "speedup_decode_high",
    "speedup_decode_words",
    "paired_prompts",
    "speedup_decode_token_weighted",
    "speedup_end_to_end",
    "paired_prompts_end_to_end",
    "predicted_speedup",
    "acceptance_length",
    "acceptance_rate",
    "draft_ms",
    "verify_ms",
    "other_ms",
    "peak_memory_bytes",
    "accuracy",
    "scored",
    "verdict",
    "verdict_exact",
    "verdict_tie",
    "verdict_mismatch",
    "guards",
)
Row = Mapping[str, Any]


def render(summary: Mapping[str, Any], order: Sequence[str] = ()) -> Table:
    """Arms against the baseline of the same run."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("arm", no_wrap=True)
    for name in ("k", "tok/s", "speedup", "95 % interval", "acc. length", "acc. rate", "draft ms", "verify ms"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    rows = overall(summary, order)
    scored = any(row.get("scored") for row in rows)
    if scored:
        table.add_column("accuracy", justify="right", no_wrap=True)
    batched = any(row.get("batch_size", 1) > 1 for row in rows)
    if batched:
        table.add_column("all rows tok/s", justify="right", no_wrap=True)
    for row in rows:
        more = [accuracy(row)] if scored else []
        more += [number(row.get("throughput_tok_s"), 1)] if batched else []
        # As Text: rich reads plain strings as markup, in which an arm called `a[b]` loses its end.
        table.add_row(*map(Text, [*cells(row), *more]), style="bold red" if row.get("verdict_mismatch") else None)
    return table


def cells(row: Row) -> list[str]:
    """One row's texts, in the table's order."""
    baseline = row["arm"] == BASELINE
    drafts = "" if baseline else None
    return [
        str(row["arm"]),
        "" if baseline else str(row["num_draft_tokens"]),
        number(row.get("decode_tok_s"), 1),
        "1.00x" if baseline else number(row.get("speedup_decode"), 2, "x"),
        drafts if drafts is not None else interval(row),
        drafts if drafts is not None else number(row.get("acceptance_length"), 2),
        drafts if drafts is not None else percent(row.get("acceptance_rate")),
        drafts if drafts is not None else number(row.get("draft_ms"), 2),
        number(row.get("verify_ms"), 2),
        "reference" if baseline else verdict(row),
    ]


def interval(row: Row) -> str:
    low, high = row.get("speedup_decode_low"), row.get("speedup_decode_high")
    if low is None or high is None:
        return "too few prompts" if (row.get("paired_prompts") or 0) < MIN_PROMPTS else "no interval"
    words = " n.d." if low <= 1.0 <= high else ""
    return f"{low:.2f} to {high:.2f}{words}"


def verdict(row: Row) -> str:
    """Counts of each verdict there is, the worst first; errors beside them. A synthetic run claims none."""
    counts = [(name, row.get(f"verdict_{name}") or 0) for name in ("mismatch", "tie", "exact", "none")]
    texts = [f"{count} {'MISMATCH' if name == 'mismatch' else name}" for name, count in counts if count]
    if row.get("errors"):
        texts.insert(0, f"{row['errors']} failed")
    if row.get("synthetic") and row.get("generations"):
        texts[-1] = "not claimed"
    return ", ".join(texts) or "nothing decoded"


def accuracy(row: Row) -> str:
    """The mean score, and how many generations it rests on where not all of them have one."""
    scored = row.get("scored")
    beside = f" of {scored}" if scored and scored != row.get("generations") else ""
    return percent(row.get("accuracy")) + beside


def number(value: float | None, digits: int, unit: str = "") -> str:
    return "-" if value is None else f"{value:.{digits}f}{unit}"


def percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f} %"


def notes(summary: Mapping[str, Any]) -> list[str]:
    """What must be read beside the table: arms against each other, and reasons to doubt a row."""
    lines: list[str] = []
    for pair in summary.get("pairs", []):
        if pair.get("category", "all") != "all" or BASELINE in (pair["arm"], pair["other"]):
            continue
        value = pair.get("speedup_decode")
        if value is not None:
            lines.append(f"{pair['arm']} against {pair['other']}: {value:.2f}x, {spread(pair)}")
    rows = overall(summary)
    if any(interval(row).endswith("n.d.") for row in rows if row["arm"] != BASELINE):
        lines.append("n.d.: not distinguishable from the baseline, the interval holds 1")
    general = [f"{guard['code']}: {guard['message']}" for guard in summary.get("guards", []) if not guard.get("arm")]
    for row in rows:
        lines += [f"{row['arm']}: {guard}" for guard in row.get("guards") or [] if guard not in general]
    # Doubts about the whole run once, not for each arm; a synthetic run is headed by its own line.
    lines += [guard for guard in general if not guard.startswith(f"{SYNTHETIC}: ")]
    noise = summary.get("noise")
    return [*lines, f"noise: {noise['text']}"] if noise else lines


def spread(pair: Row) -> str:
    """The interval of a direct comparison, and what it allows one to say."""
    low, high = pair.get("speedup_decode_low"), pair.get("speedup_decode_high")
    words = str(pair.get("speedup_decode_words") or "not distinguishable")
    return words if low is None or high is None else f"95 % interval {low:.2f} to {high:.2f}, {words}"


def print_summary(
    summary: Mapping[str, Any], run_dir: Path, order: Sequence[str] = (), console: Console | None = None
) -> None:
    """The table and its notes, on stdout."""
    console = console or Console()
    console = console if console.width >= MIN_WIDTH or console.is_terminal else Console(width=MIN_WIDTH)
    if summary.get("synthetic"):
        console.print(f"SYNTHETIC: {summary['synthetic']}", markup=False, highlight=False, soft_wrap=True)
    console.print(render(summary, order))
    for line in notes(summary):
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    console.print(f"files: {run_dir}", markup=False, highlight=False, soft_wrap=True)


def json_line(run_dir: Path, exit_code: int, summary: Mapping[str, Any], error: str | None = None) -> str:
    """The last line of stdout: where the run is, how it ended, and each arm's figures under the summary's names."""
    arms = {str(row["arm"]): {name: row.get(name) for name in JSON_FIELDS} for row in overall(summary)}
    content: dict[str, Any] = {"run_dir": str(run_dir), "exit_code": exit_code, "arms": arms}
    if summary.get("synthetic"):
        content["synthetic"] = summary["synthetic"]
    if summary.get("noise"):
        content["noise"] = summary["noise"]["text"]
    if error:
        content["error"] = error
    return json.dumps(content, allow_nan=False)

"""The console's view of a run: a table for people, published figures beside it, and one JSON line for scripts."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from harness.metrics.definitions import named
from harness.metrics.guards import SYNTHETIC, WEAK_BASELINE
from harness.metrics.summary import SummaryRow, overall, overall_pairs
from harness.records.stored import read_manifest
from harness.records.terminal import fitted
from harness.report.arms_table import arms_table, interval
from harness.report.engine_words import engine_lines
from harness.report.floor_words import weak_baseline
from harness.report.names import (
    compact,
    confidence_text,
    in_ascii,
    is_control,
    number,
    run_to_run_text,
    span,
    stopped_text,
    times,
)
from harness.report.published.catalogue import read_metrics, read_published
from harness.report.published.comparison import METRICS, beside
from harness.vocabulary import ALL, BASELINE

MIN_WIDTH = 160  # so that a log keeps a row on a line
#: Metrics without a column in the table of arms.
ONLY_PUBLISHED = {"seconds_for_2048", "extra_memory_gb"}
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
    "floor_ms",
    "strength",
    "speedup_at_floor",
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


def print_summary(
    summary: Mapping[str, Any], run_dir: Path, order: Sequence[str] = (), console: Console | None = None
) -> None:
    """Print the table of arms, the arms of `order` first, and its notes."""
    console = wide_enough(console or Console())
    if summary.get("synthetic"):
        print_line(console, f"SYNTHETIC: {summary['synthetic']}")
    if weak := weak_baseline(overall(summary)):
        print_line(console, in_ascii(f"SLOW BASELINE: {weak}"))
    console.print(arms_table(summary, order, console.width))
    kinds = {str(arm["name"]): str(arm.get("kind")) for arm in read_manifest(run_dir).get("arms") or []}
    for line in (*notes(summary, kinds), *closing(summary, run_dir)):
        print_line(console, line)


def print_published(summary: Mapping[str, Any], run_dir: Path, console: Console | None = None) -> None:
    """Print the run beside published figures, and their sources; nothing if it would only repeat the table of arms."""
    figures, metrics = read_published(run_dir), read_metrics(run_dir)
    if not figures and not ONLY_PUBLISHED & set(metrics):
        return
    console = wide_enough(console or Console())
    console.print(published_table(summary, figures, metrics))
    for source in dict.fromkeys(str(figure["source"]) for figure in figures):
        print_line(console, f"published: {source}")


def json_line(run_dir: Path, exit_code: int, summary: Mapping[str, Any], error: str | None = None) -> str:
    """The last line of stdout: where the run is, how it ended, and each arm's figures under the summary's names."""
    arms = {str(row["arm"]): {name: row.get(name) for name in JSON_FIELDS} for row in overall(summary)}
    content: dict[str, Any] = {"run_dir": str(run_dir), "exit_code": exit_code, "arms": arms}
    if summary.get("synthetic"):
        content["synthetic"] = summary["synthetic"]
    if summary.get("stopped"):
        content["stopped"] = summary["stopped"]
    if summary.get("noise"):
        content["noise"] = summary["noise"]["text"]
    if error:
        content["error"] = error
    return json.dumps(content, allow_nan=False)


def wide_enough(console: Console) -> Console:
    """`console`, or one of MIN_WIDTH columns on stdout if this one is narrow and no terminal."""
    return console if console.width >= MIN_WIDTH or console.is_terminal else Console(width=MIN_WIDTH)


def print_line(console: Console, line: str) -> None:
    """Print `line` without markup or colours: broken between words on a terminal, else as it is."""
    width = console.width if console.is_terminal else None
    console.print(fitted(line, width), markup=False, highlight=False, soft_wrap=True)


def notes(summary: Mapping[str, Any], kinds: Mapping[str, str] | None = None) -> list[str]:
    """Lines below the table: drafters against each other without controls, and reasons to doubt a row.

    `kinds` are those of arms whose name is not their kind.
    """
    lines = []
    for pair in overall_pairs(summary):
        both = [(kinds or {}).get(str(pair[side]), pair[side]) for side in ("arm", "other")]
        if pair.get("speedup_decode") is not None and not any(map(is_control, both)):
            ratio = in_ascii(f"{times(pair['speedup_decode'])}, {spread(pair, confidence_text(summary))}")
            lines.append(f"{pair['arm']} against {pair['other']}: {ratio}")
    lines += [in_ascii(line) for line in engine_lines(summary)]
    rows = overall(summary)
    if any(interval(row).endswith("n.d.") for row in rows if row["arm"] != BASELINE):
        lines.append("n.d.: not distinguishable from the baseline, the interval includes 1")
    general = [f"{guard['code']}: {guard['message']}" for guard in summary.get("guards", []) if not guard.get("arm")]
    doubted: dict[str, list[str]] = {}  # a doubt that several arms share is one line
    for row in rows:
        for guard in row.get("guards") or []:
            if guard not in general and not guard.startswith(f"{WEAK_BASELINE}: "):  # which heads the table
                doubted.setdefault(guard, []).append(str(row["arm"]))
    lines += [f"{', '.join(arms)}: {guard}" for guard, arms in doubted.items()]
    # Doubts about the whole run once, not for each arm; a synthetic run is headed by its own line.
    lines += [guard for guard in general if not guard.startswith(f"{SYNTHETIC}: ")]
    return [*lines, *filter(None, [in_ascii(stopped_text(summary)), in_ascii(run_to_run_text(summary))])]


def closing(summary: Mapping[str, Any], run_dir: Path) -> list[str]:
    """The last lines: the verdict in words, the noise of the machine, and the page."""
    page = run_dir / "report.html"
    noise = summary.get("noise")
    return [
        *([verdict_in_words(run_dir)] if page.is_file() else []),
        *([f"noise: {noise['text']}"] if noise else []),
        f"report: {page.resolve().as_uri()}" if page.is_file() else f"files: {run_dir}",
    ]


def verdict_in_words(run_dir: Path) -> str:
    """The page's headline and its first sentence."""
    from harness.report.page.data import read_run
    from harness.report.page.headline import headline

    found = headline(read_run(run_dir))
    return in_ascii(" ".join([f"{found.title}.", *found.sentences[:1]]))


def spread(pair: SummaryRow, confidence: str) -> str:
    """The interval of a direct comparison, and the words that it allows."""
    low, high = pair.get("speedup_decode_low"), pair.get("speedup_decode_high")
    words = str(pair.get("speedup_decode_words") or "not distinguishable")
    return words if low is None or high is None else f"{confidence} interval {span(low, high)}, {words}"


def published_table(summary: Mapping[str, Any], figures: Sequence[Mapping[str, Any]], metrics: Sequence[str]) -> Table:
    """An arm a row, a metric a column: ours, then in brackets each published figure and ours as a multiple of it."""
    compared = beside(summary, figures)
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("configuration", no_wrap=True)
    for metric in metrics:
        table.add_column(METRICS[metric].words)
    for row in overall(summary):
        name = row["arm"] if row["arm"] == BASELINE else f"{row['arm']} k={row['num_draft_tokens']}"
        name += " (synthetic)" if row.get("synthetic") else ""
        table.add_row(Text(name), *(Text(published_cell(row, metric, compared)) for metric in metrics))
    return table


def published_cell(row: SummaryRow, metric: str, compared: Sequence[Mapping[str, Any]]) -> str:
    """Ours, and in brackets the published figures for the same arm."""
    unit = METRICS[metric].unit
    theirs = [
        f"{published_label(figure)} {in_ascii(compact(figure['value']) + unit)}"
        + ("" if figure["ratio"] is None else f": {in_ascii(times(figure['ratio']))}")
        for figure in compared
        if (figure["arm"], figure["metric"], figure["category"]) == (row["arm"], metric, ALL)
    ]
    return in_ascii(number(METRICS[metric].ours(row), 2, unit)) + (f" ({'; '.join(theirs)})" if theirs else "")


def published_label(figure: Mapping[str, Any]) -> str:
    """The figure's label and its differing settings; its target is in the label already."""
    others = [word for word in figure["differs"] if not word.startswith("target")]
    return ", ".join([str(figure["label"]), *others])

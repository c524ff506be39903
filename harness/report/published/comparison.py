"""Published figures against this run's: the metrics that are compared, and each figure beside ours."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from harness.metrics.summary import SummaryRow

LONG_ANSWER = 2048  # tokens of the answer that `seconds_for_2048` times


class Metric(NamedTuple):
    """A published metric in words, its unit, and our figure from a row of the summary."""

    words: str
    unit: str
    ours: Callable[[SummaryRow], float | None]


def _ratio(numerator: float | None, denominator: float) -> float | None:
    return None if numerator is None else numerator / denominator


def _total_tok_s(row: SummaryRow) -> float | None:
    rate = row.get("decode_tok_s")
    return None if rate is None else rate * row["batch_size"]


def _seconds(row: SummaryRow) -> float | None:
    rate, first = row.get("decode_tok_s"), row.get("ttft_ms")
    return None if not rate or first is None else first / 1e3 + (LONG_ANSWER - 1) / rate


METRICS: dict[str, Metric] = {
    "decode_tok_s": Metric("tok/s of one stream", "", lambda row: row.get("decode_tok_s")),
    "total_tok_s": Metric("tok/s of all streams", "", _total_tok_s),
    "speedup": Metric("speedup", "×", lambda row: row.get("speedup_decode")),
    "acceptance_length": Metric("acceptance length", "", lambda row: row.get("acceptance_length")),
    "acceptance_rate": Metric("acceptance rate", "", lambda row: row.get("acceptance_rate")),
    "seconds_for_2048": Metric("time for 2048 tokens", " s", _seconds),
    "extra_memory_gb": Metric(
        "memory over baseline", " GB", lambda row: _ratio(row.get("peak_memory_over_baseline_bytes"), 1e9)
    ),
}


def beside(summary: Mapping[str, Any], figures: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Each figure with `ours` from the summary, `ratio` = ours / theirs and `difference` = ours - theirs, or None.

    `differs` gains a k that is not the published one, and `not synthetic` if the run is synthetic.
    """
    rows = {(row["arm"], row["category"]): row for row in summary["rows"]}
    compared = []
    for figure in figures:
        row = rows.get((figure["arm"], figure["category"]), {})
        ours = METRICS[figure["metric"]].ours(row)
        differs = list(figure["differs"])
        k = row.get("num_draft_tokens")
        if row.get("synthetic"):
            differs.append("not synthetic")
        if figure["k"] is not None and k is not None and k != figure["k"]:
            differs.append(f"k {figure['k']}")
        theirs = figure["value"]
        compared.append(
            {
                **figure,
                "differs": differs,
                "ours": ours,
                "ratio": _ratio(ours, theirs),
                "difference": None if ours is None else ours - theirs,
            }
        )
    return compared

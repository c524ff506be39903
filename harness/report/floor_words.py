"""Words for a baseline that is far from its floor: the same in the console and over the page."""

from __future__ import annotations

from collections.abc import Sequence

from harness.metrics.strength import WEAK
from harness.metrics.summary import SummaryRow
from harness.report.names import arm_name, clean, is_control, known, listed, number, times
from harness.vocabulary import BASELINE


def strength_text(value: object) -> str:
    """A strength: `0.87`, and `0.027` below a tenth."""
    return number(value, 3 if known(value) and value < 0.1 else 2)


def weak_baseline(rows: Sequence[SummaryRow]) -> str:
    """A sentence on the weakest baseline of `rows` and on the speedups at the floor; empty for a strong one."""
    weak = [row for row in rows if row["arm"] == BASELINE and known(row.get("strength")) and row["strength"] < WEAK]
    if not weak:
        return ""
    row = min(weak, key=lambda one: one["strength"])
    beside = [
        f"{arm_name(clean(one['arm']))} {times(one['speedup_at_floor'])}"
        for one in rows
        if one["arm"] != BASELINE
        and (one.get("dataset"), one.get("batch_size")) == (row.get("dataset"), row.get("batch_size"))
        and known(one.get("speedup_at_floor"))
        and not is_control(one["arm"])
    ]
    said = (
        f"plain decoding takes {number(1 / row['strength'], 1)} times its floor on this machine "
        f"(strength {strength_text(row['strength'])}), so these speedups are those of a slow loop"
    )
    return f"{said}; at the floor: {listed(beside)}" if beside else said

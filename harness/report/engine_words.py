"""A run with several engines in words: for the lines under the console's table and for the page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.report.names import known, percent, span, times


def engine_lines(summary: Mapping[str, Any]) -> list[str]:
    """Each arm's own speedup and that over the fastest baseline, acceptance side by side, and where answers part."""
    lines = []
    for row in summary.get("engines") or ():
        parts = [
            f"{times(row[name])} ({span(row[f'{name}_low'], row[f'{name}_high'])}) {over}"
            for name, over in (
                ("own_speedup", f"over its own baseline {row['own_baseline']}"),
                ("speedup_over_fastest", f"over the fastest baseline {row['fastest_baseline']}"),
            )
            if known(row[name])
        ]
        if parts:
            lines.append(f"{row['arm']}: {', '.join(parts)}")
        if row["acceptance"]:
            lines.append(f"{row['arm']}: {acceptance_text(row['acceptance'])}")
    return [*lines, *parting_lines(summary)]


def parting_lines(summary: Mapping[str, Any]) -> list[str]:
    """Per arm of other weights: how many answers part from the harness's, and where."""
    lines = []
    for one in summary.get("partings") or ():
        where = f", at token {one['first']:.0f} in the middle" if known(one["first"]) else ""
        why = f"; {one['reason']}" if one["reason"] else ""
        count = f"{one['parted']} of {one['answers']} answers"
        lines.append(f"{one['arm']} and the harness's baseline part in {count}{where}{why}")
    return lines


def acceptance_text(found: Mapping[str, Any]) -> str:
    """`77.7 % of drafts accepted, 79.5 % in mtp, of which 1.8 points are counted past the end token; ...`."""
    text = f"{percent(found['other_rate'])} of drafts accepted, {percent(found['rate'])} in {found['other_arm']}"
    if known(found["past_end"]) and abs(found["past_end"]) >= 0.0005:
        text += f", of which {100 * found['past_end']:.1f} points are counted past the end token or the limit"
    if known(found["difference_low"]):
        low, high = (f"{100 * found[f'difference_{side}']:+.1f}" for side in ("low", "high"))
        alike = f"{100 * found['difference']:+.1f} points, 95 % interval {low} to {high}"
        text += f"; counted alike the difference is {alike}"
        apart = [
            str(one["position"])
            for one in found["positions"]
            if known(one["difference_low"]) and not one["difference_low"] <= 0 <= one["difference_high"]
        ]
        text += f", beyond chance at position {', '.join(apart)}" if apart else ""
    return text

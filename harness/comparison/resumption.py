"""Decides which generations of earlier attempts still count, and which are decoded again.

An arm's verdict and its pair of times depend on the baseline's answer to the same prompt; a later turn depends on the
baseline's answers before it. A generation is decoded again together with anything it depends on, so no verdict
outlives its baseline, and the two times of a pair come from one attempt.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from harness.comparison.judge import NO_ANSWER
from harness.records.journal import GenerationKey
from harness.vocabulary import BASELINE

Rows = Mapping[GenerationKey, Mapping[str, Any]]


def settled(
    rows: Rows, names: Sequence[str], *, baselines: Sequence[str] = (BASELINE,), together: bool, retry_errors: bool
) -> set[GenerationKey]:
    """The keys of the arms `names` that need not be decoded again, from the journal's `rows`.

    `baselines` are the arms that `names` are judged against, their own engine's last. With `together` the arms of a
    prompt are decoded beside each other, so all of them count or none; otherwise an arm counts as long as its
    baselines do. What was borrowed from another job counts by itself (harness.comparison.borrowing).
    """
    kept = {key for key, row in rows.items() if not retry_errors or row["status"] == "ok"}
    units: dict[tuple[str, int, int], set[GenerationKey]] = {}
    for key in kept:
        if key.arm in names and not outlived(rows, key, baselines):
            units.setdefault((key.prompt_id, key.turn, key.repeat), set()).add(key)
    needed = {*names} if together else {*names} & {*baselines}
    whole = {unit: keys for unit, keys in units.items() if needed <= {key.arm for key in keys}}

    def history_stays(prompt_id: str, turn: int) -> bool:
        """Whether all answers in this turn's history stay."""
        return BASELINE not in names or all((prompt_id, before, 0) in whole for before in range(turn))

    stays = {key for (prompt_id, turn, _), keys in whole.items() if history_stays(prompt_id, turn) for key in keys}
    return stays | {key for key in kept if key.arm in names and rows[key].get("borrowed_from")}


def outlived(rows: Rows, key: GenerationKey, baselines: Sequence[str] = (BASELINE,)) -> bool:
    """Whether a generation that `key` depends on was decoded after it."""
    row = rows[key]
    under = [rows.get(key._replace(arm=arm)) for arm in baselines if arm != key.arm]
    # Runs of earlier versions number no attempts; there a verdict without an answer betrays a later baseline.
    answered = bool(under) and under[-1] is not None and under[-1]["status"] == "ok"
    if answered and row.get("verdict") == "none" and (row.get("verdict_detail") or {}).get("reason") == NO_ANSWER:
        return True
    under += [rows.get(GenerationKey(key.prompt_id, turn, BASELINE, 0)) for turn in range(key.turn)]
    return any(one is not None and _attempt(one) > _attempt(row) for one in under)


def _attempt(row: Mapping[str, Any]) -> int:
    return int(row.get("attempt") or 0)

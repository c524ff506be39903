"""Several engines in one table: each one's own speedup, that over the fastest baseline, and acceptance side by side.

Two engines that draft alike may count differently. The harness's `accepted` is raw: in an answer's last round it holds
tokens past the end as well. llama.cpp drafts no more than can still be emitted, and counts no token past an end token
unless it was the last of its draft. `as_counted` gives the harness's rounds by those rules, so that what remains of a
difference is the drafters' own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from harness.metrics.statistics import CONFIDENCE, MIN_PROMPTS, RESAMPLES, SEED
from harness.records.frames import with_defaults
from harness.vocabulary import ALL, BASELINE, OK

#: Drafted, accepted and emitted tokens of one round.
Counts = tuple[int, int, int]
PLACE = ["dataset", "batch_size"]


def as_counted(rounds: Iterable[Counts], max_new_tokens: int) -> list[Counts]:
    """The rounds of one answer, in order, as llama.cpp counts them. Its own rounds stay as they are."""
    found, left = [], max_new_tokens - 1  # the first token comes from prefill
    for drafted, accepted, emitted in rounds:
        width = min(drafted, max(left - 1, 0))
        kept = min(accepted, width)
        if emitted <= kept:  # cut by an end token, which is a draft itself
            kept = width if emitted == width else emitted - 1
        found.append((width, kept, emitted))
        left -= emitted
    return found


def engines_of(
    rounds: pd.DataFrame, generations: pd.DataFrame, pairs: Sequence[Mapping[Any, Any]]
) -> list[dict[str, Any]]:
    """One row per drafting arm of a run with several engines, per dataset and batch size; [] for any other run.

    `pairs` are comparisons of two arms over all categories. `own_speedup` is over the arm's own engine's baseline,
    `speedup_over_fastest` over the fastest baseline of the table, each with an interval; `acceptance` holds the arm
    beside the harness's arm of the same name, None where one of them has no rounds.
    """
    table = with_defaults(generations)
    table = table[table["status"] == OK]
    if table["engine"].nunique() < 2:
        return []
    found = []
    for place, block in table.groupby(PLACE):
        engine_of = dict(zip(block["arm"], block["engine"], strict=True))
        ratios = _ratios(pairs, dict(zip(PLACE, place, strict=True)))
        baselines = [arm for arm, engine in engine_of.items() if arm == _baseline(engine, engine_of)]
        # The fastest is the one that no other baseline beats.
        fastest = next((a for a in baselines if all(ratios.get((a, b), (1.0,))[0] >= 1 for b in baselines)), None)
        for arm, engine in engine_of.items():
            if arm in baselines:
                continue
            own, twin = _baseline(engine, engine_of), arm.removeprefix(f"{engine}_")
            row: dict[str, Any] = {**dict(zip(PLACE, place, strict=True)), "arm": arm, "engine": engine}
            row |= {"own_baseline": own, **_named("own_speedup", ratios.get((arm, own)))}
            row |= {"fastest_baseline": fastest, **_named("speedup_over_fastest", ratios.get((arm, str(fastest))))}
            row["acceptance"] = _side_by_side(rounds, block, twin, arm) if twin in engine_of and twin != arm else None
            found.append(row)
    return found


def partings(generations: pd.DataFrame) -> list[dict[str, Any]]:
    """Per arm that was judged against the harness besides its own baseline: how many answers part from it, and where.

    `first` is the median token at which they part.
    """
    if "verdict_detail" not in generations:
        return []
    found = []
    for arm, block in generations[generations["status"] == OK].groupby("arm"):
        details = [one["harness"] for one in block["verdict_detail"] if isinstance(one, Mapping) and one.get("harness")]
        places = [one["index"] for one in details if one.get("index") is not None]
        if details:
            reasons = [one.get("reason") for one in block["verdict_detail"] if isinstance(one, Mapping)]
            median = float(np.median(places)) if places else None
            counts = {"answers": len(details), "parted": len(places)}
            found.append({"arm": arm, **counts, "first": median, "reason": reasons[0] or ""})
    return found


def _baseline(engine: str, arms: Mapping[str, str]) -> str:
    """The baseline of an engine: the run's, or its own beside the harness."""
    own = f"{engine}_{BASELINE}"
    return own if own in arms else BASELINE


def _ratios(pairs: Iterable[Mapping[Any, Any]], place: Mapping[str, Any]) -> dict[tuple[str, str], tuple[Any, ...]]:
    """Speedup, low and high of every two arms, in both directions."""
    found: dict[tuple[str, str], tuple[Any, ...]] = {}
    for pair in pairs:
        value = pair.get("speedup_decode")
        elsewhere = pair["category"] != ALL or any(pair[key] != wanted for key, wanted in place.items())
        if elsewhere or value is None or not value > 0:
            continue
        low, high = pair.get("speedup_decode_low"), pair.get("speedup_decode_high")
        found[pair["arm"], pair["other"]] = (value, low, high)
        found[pair["other"], pair["arm"]] = (1 / value, 1 / high if high else None, 1 / low if low else None)
    return found


def _named(name: str, ratio: tuple[Any, ...] | None) -> dict[str, Any]:
    value, low, high = ratio or (None, None, None)
    return {name: value, f"{name}_low": low, f"{name}_high": high}


def _side_by_side(rounds: pd.DataFrame, block: pd.DataFrame, ours: str, theirs: str) -> dict[str, Any] | None:
    """Accepted shares of both arms over the prompts that both have rounds for.

    `rate` and `other_rate` as each counts; `past_end` is the part of the harness's that the other does not count. The
    differences are of the shares under one counting, with intervals over prompts.
    """
    full = block.loc[block["finish_reason"] == "length", "new_tokens"]
    limit = int(full.max()) if len(full) else 0
    counted = {arm: _per_prompt(rounds, block, arm, limit or 2**31) for arm in (ours, theirs)}
    both = sorted(set(counted[ours]) & set(counted[theirs]))
    if not both:
        return None
    raw, mine, other = (
        np.array([counts[prompt][kind] for prompt in both], dtype=float)
        for counts, kind in ((counted[ours], 0), (counted[ours], 1), (counted[theirs], 1))
    )  # [prompts, 2, places]: accepted and drafted
    found: dict[str, Any] = {"other_arm": ours, "prompts": len(both), "rate": _share(raw), "recounted": _share(mine)}
    found |= {"other_rate": _share(other), "past_end": _share(raw) - _share(mine)}
    found |= _difference(mine.sum(axis=2), other.sum(axis=2))
    found["positions"] = [
        {"position": place + 1, "rate": _share(mine[:, :, place]), "other_rate": _share(other[:, :, place])}
        | _difference(mine[:, :, place], other[:, :, place])
        for place in range(mine.shape[2])
        if mine[:, 1, place].any() and other[:, 1, place].any()
    ]
    return found


def _per_prompt(rounds: pd.DataFrame, block: pd.DataFrame, arm: str, limit: int) -> dict[Any, tuple[Any, Any]]:
    """Per prompt: [2, k] accepted and drafted tokens by place, as recorded and as recounted."""
    k = int(block["num_draft_tokens"].max())
    chosen = rounds[(rounds["arm"] == arm) & rounds["prompt_id"].isin(block["prompt_id"])].sort_values("position")
    found: dict[Any, tuple[Any, Any]] = {}
    keys = [key for key in ("turn", "repeat") if key in chosen]
    for (prompt, *_), one in chosen.groupby(["prompt_id", *keys]):
        counts = list(one[["drafted", "accepted", "emitted"]].itertuples(index=False, name=None))
        both = tuple(_places(made, k) for made in (counts, as_counted(counts, limit)))
        known = found.get(prompt, (0, 0))
        found[prompt] = (known[0] + both[0], known[1] + both[1])
    return found


def _places(rounds: Sequence[Counts], k: int) -> Any:
    places = np.arange(k)
    drafted = np.array([one[0] for one in rounds])[:, None] > places
    accepted = np.array([one[1] for one in rounds])[:, None] > places
    return np.stack([accepted.sum(axis=0), drafted.sum(axis=0)])


def _share(counts: Any) -> float:
    accepted, drafted = counts.swapaxes(0, 1).reshape(2, -1).sum(axis=1)
    return float(accepted / drafted) if drafted else float("nan")


def _difference(mine: Any, other: Any) -> dict[str, Any]:
    """`other` less `mine` ([prompts, 2]), with a percentile interval over resampled prompts."""
    value = _share(other) - _share(mine)
    if len(mine) < MIN_PROMPTS:
        return {"difference": value, "difference_low": None, "difference_high": None}
    drawn = np.random.default_rng(SEED).integers(0, len(mine), (RESAMPLES // 4, len(mine)))
    first, second = mine[drawn].sum(axis=1), other[drawn].sum(axis=1)  # [resamples, 2]
    with np.errstate(invalid="ignore", divide="ignore"):
        spread = second[:, 0] / second[:, 1] - first[:, 0] / first[:, 1]
    tail = 100 * (1 - CONFIDENCE) / 2
    low, high = np.nanpercentile(spread, [tail, 100 - tail])
    return {"difference": value, "difference_low": float(low), "difference_high": float(high)}

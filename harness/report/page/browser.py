"""Data of the prompt browser: a bounded choice of prompts, each arm's output cut into its rounds."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

import pandas as pd

from harness.report.names import clean, compact, known, number
from harness.report.page.data import RunData, first_rounds
from harness.report.places import without_places
from harness.vocabulary import BASELINE, VERDICTS

MAX_PROMPTS = 200
MAX_BYTES = 4_000_000
MAX_PROMPT_CHARACTERS = 6000
#: Share of the shown prompts that errors, mismatches and ties may take.
WRONG_SHARE = 0.5

Turn = tuple[str, int]  # prompt_id, turn


@dataclass(frozen=True, slots=True)
class Browser:
    """`data` goes into the page as JSON; `links` maps a prompt to its anchor."""

    data: dict[str, Any]
    links: dict[str, str]
    shown: int
    total: int
    has_pieces: bool
    has_prompts: bool


def build_browser(run: RunData, ratios: pd.DataFrame, max_prompts: int = MAX_PROMPTS) -> Browser:
    """Outputs of the first repeat. `ratios` as `chart_data.prompts` gives them."""
    first = run.generations[run.generations["repeat"] == 0]
    chosen, total = choose(first, max_prompts)
    first = first[[turn in chosen for turn in zip(first["prompt_id"], first["turn"], strict=True)]]
    wanted = run.rounds["prompt_id"].isin(first["prompt_id"].unique())
    rounds = first_rounds(run.rounds[wanted], ("drafted", "accepted", "emitted"))
    speedups = {
        (prompt, arm, int(k)): value
        for prompt, arm, k, value in ratios[["prompt_id", "arm", "num_draft_tokens", "speedup_decode"]].itertuples(
            index=False
        )
    }
    rows: dict[Turn, dict[str, dict[str, Any]]] = defaultdict(dict)
    for record in first.to_dict("records"):
        row = {str(name): value for name, value in record.items()}
        rows[row["prompt_id"], row["turn"]][_label(run, row)] = row
    prompts: list[dict[str, Any]] = []
    links: dict[str, str] = {}
    size = 0
    for turn, arms in rows.items():
        entry = _entry(run, turn, arms, rounds, speedups)
        size += len(json.dumps(entry))
        if size > MAX_BYTES and prompts:
            break
        links.setdefault(turn[0], f"#p{len(prompts)}")
        prompts.append(entry)
    shown = [
        {"label": one.label, "colour": one.colour, "k": one.num_draft_tokens, "arm": one.arm}
        for one in (*run.contenders, *(s for s in run.drafting if s not in run.contenders), *run.series[:1])
    ]
    shown = list({arm["label"]: arm for arm in shown}.values())
    data = {"arms": shown, "open": [one.label for one in run.contenders[:2]], "prompts": prompts}
    pieces = any(g.get("pieces") for p in prompts for g in p["arms"].values()) or not prompts
    return Browser(data, links, len(prompts), total, pieces, bool(run.prompts))


def choose(generations: pd.DataFrame, limit: int) -> tuple[set[Turn], int]:
    """The turns to show, `limit` at most, and the number of all.

    Errors, mismatches and ties come first, up to WRONG_SHARE of the limit; categories then take turns, each in its
    own order.
    """
    by_turn: dict[Turn, tuple[str, bool]] = {}
    columns = ["prompt_id", "turn", "category", "status", "verdict"]
    for prompt, turn, category, status, verdict in generations[columns].itertuples(index=False):
        wrong = status != "ok" or verdict in ("mismatch", "tie")
        known_as = by_turn.get((prompt, turn))
        by_turn[prompt, turn] = (category, wrong or bool(known_as and known_as[1]))
    if len(by_turn) <= limit:
        return set(by_turn), len(by_turn)
    first = [turn for turn, (_, wrong) in by_turn.items() if wrong]
    chosen = set(first[: int(limit * WRONG_SHARE)])
    queues: dict[str, list[Turn]] = defaultdict(list)
    for turn, (category, _) in by_turn.items():
        if turn not in chosen:
            queues[category].append(turn)
    for layer in zip_longest(*queues.values()):
        for turn in layer:
            if turn is not None and len(chosen) < limit:
                chosen.add(turn)
    return chosen, len(by_turn)


def _label(run: RunData, record: Mapping[str, Any]) -> str:
    for one in run.series:
        if one.arm == record["arm"] and one.num_draft_tokens == record["num_draft_tokens"]:
            return one.label
    return clean(record["arm"])


def _entry(
    run: RunData,
    turn: Turn,
    arms: dict[str, dict[str, Any]],
    rounds: dict[tuple[str, int, str], list[list[int]]],
    speedups: dict[tuple[str, str, int], float],
) -> dict[str, Any]:
    prompt_id, number = turn
    any_row = next(iter(arms.values()))
    asked = run.prompts.get(prompt_id)
    base = next((row for row in arms.values() if row["arm"] == BASELINE), None)
    text = asked.turns[number] if asked and number < len(asked.turns) else ""
    opening = "".join(f"{role}: {said}\n\n" for role, said in asked.opening) if asked and number == 0 else ""
    found = {}
    for label, row in arms.items():
        own = rounds.get((prompt_id, number, row["arm"]), [])
        speedup = speedups.get((prompt_id, row["arm"], row["num_draft_tokens"]))
        found[label] = _output(row, own, base, speedup)
    verdicts = [output["verdict"] for output in found.values()]
    return {
        "id": clean(prompt_id),
        "turn": number,
        "category": clean(any_row["category"]),
        "prompt": _cut(clean(opening + text)),
        "verdict": next((name for name in ("error", *VERDICTS) if name in verdicts), "none"),
        "arms": found,
    }


def _output(
    row: Mapping[str, Any], rounds: list[list[int]], base: Mapping[str, Any] | None, speedup: float | None
) -> dict[str, Any]:
    if row["status"] != "ok":
        return {"verdict": "error", "note": _cut(clean(without_places(row["error"] or "failed")))}
    ids = list(row["token_ids"]) if isinstance(row.get("token_ids"), list) else []
    texts = _pieces(row, ids)
    emitted = sum(r[2] for r in rounds)
    output: dict[str, Any] = {
        "verdict": row["verdict"] or "none",
        "note": _verdict_note(row, base),
        "tokens": len(ids),
        "finish": row["finish_reason"],
        "speedup": round(speedup, 3) if known(speedup) else None,
        "tau": round(emitted / len(rounds), 3) if rounds else None,
    }
    if len(texts) == 1 + emitted:
        output |= _segments(texts, rounds)
        output["pieces"] = _has_pieces(row, ids)
    else:
        # Rounds that do not match the tokens cannot be coloured; the text alone is still worth reading.
        output |= {"first": clean(row.get("text") or ""), "rounds": []}
    return output


def _segments(texts: list[str], rounds: Iterable[list[int]]) -> dict[str, Any]:
    """The first token, then per round the text of accepted drafts and that of the target's own token."""
    place = 1
    cut = []
    for drafted, accepted, emitted in rounds:
        from_draft = min(accepted, emitted)
        middle, end = place + from_draft, place + emitted
        cut.append(["".join(texts[place:middle]), "".join(texts[middle:end]), drafted, accepted, emitted])
        place = end
    return {"first": texts[0], "rounds": cut}


def _has_pieces(row: Mapping[str, Any], ids: list[int]) -> bool:
    pieces = row.get("pieces")
    return isinstance(pieces, list) and len(pieces) == len(ids)


def _pieces(row: Mapping[str, Any], ids: list[int]) -> list[str]:
    """The text of each token, or its number if the run kept no texts."""
    return [clean(piece) for piece in row["pieces"]] if _has_pieces(row, ids) else [f"{token} " for token in ids]


def _verdict_note(row: Mapping[str, Any], base: Mapping[str, Any] | None) -> str:
    """The beginning of a tie or a mismatch, in words."""
    detail = row.get("verdict_detail")
    if not isinstance(detail, dict):
        return ""
    index = detail.get("index")
    parts = []
    if isinstance(index, int):
        theirs = _at(base, index) if base is not None else "?"
        parts.append(f"first difference at token {index + 1}: the baseline has {theirs}, this arm {_at(row, index)}")
    if known(detail.get("gap")) and known(detail.get("tolerance")):
        gap, tolerance = compact(detail["gap"], 3), compact(detail["tolerance"], 3)
        parts.append(f"{gap} below the highest logit, tolerance {tolerance}")
    if detail.get("reason"):
        parts.append(clean(detail["reason"]))
    return "; ".join(parts)


def _at(row: Mapping[str, Any], index: int) -> str:
    ids = row["token_ids"] if isinstance(row.get("token_ids"), list) else []
    if index >= len(ids):
        return "nothing"
    pieces = row.get("pieces")
    return f"“{clean(pieces[index])}”" if _has_pieces(row, ids) and pieces else f"token {ids[index]}"


def _cut(text: str) -> str:
    left = len(text) - MAX_PROMPT_CHARACTERS
    return text if left <= 0 else f"{text[:MAX_PROMPT_CHARACTERS]} … ({number(left, 0)} more characters)"

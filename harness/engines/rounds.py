"""Turns an engine's steps into the harness's rounds, where the engine reports enough.

An engine's step is a round: it emits the accepted drafts and one token more. vLLM reports the tokens of each step and,
per request, the drafted and accepted tokens of each drafting step; it does not separate draft and verify time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from harness.records.rounds import Round


def rounds_of(
    prompt_tokens: int, emitted: Sequence[int], drafted: Sequence[int], accepted: Sequence[int]
) -> list[Round] | None:
    """Rounds from the tokens emitted by each step after the first token, and the counts of the steps that drafted.

    `emitted` [steps], `drafted` and `accepted` [drafting steps], all in order. A step that drafted nothing emits one
    token. The last step may have been cut by an end token or the length limit. None when the counts contradict the
    tokens. The order of rejected drafts among steps without drafts is not reported; rejected drafts come first then.
    """
    rounds: list[Round] = []
    position = prompt_tokens
    waiting = list(zip(drafted, accepted, strict=True))
    for index, tokens in enumerate(emitted):
        last = index == len(emitted) - 1
        one_drafted, one_accepted = 0, 0
        if waiting and fits(waiting[0][1] + 1, tokens, last):
            one_drafted, one_accepted = waiting.pop(0)
        elif tokens != 1:
            return None
        rounds.append(Round(index, position, one_drafted, one_accepted, tokens, None, None, None))
        position += tokens
    return None if waiting else rounds


def fits(raw: int, emitted: int, last: bool) -> bool:
    """Whether a step that brought `raw` tokens may have emitted `emitted`."""
    return emitted == raw or (last and 1 <= emitted <= raw)


def from_counters(emitted: Sequence[int], counters: Mapping[str, Any]) -> tuple[list[int], list[int]] | None:
    """Drafted and accepted per step, from the tokens of each step and the counters around this one request.

    Holds only if every step drafted equally much: each step but the last then accepted all but one of its emitted
    tokens, and the totals give the last step's. None unless every counter, per position too, agrees with that.
    """
    steps, drafted, taken = (counters.get(name) for name in ("num_drafts", "num_draft_tokens", "num_accepted_tokens"))
    if not steps or steps != len(emitted) or drafted is None or taken is None:
        return None
    width, uneven = divmod(int(drafted), int(steps))
    accepted = [tokens - 1 for tokens in emitted[:-1]]
    accepted.append(int(taken) - sum(accepted))
    per_position = counters.get("num_accepted_tokens_per_pos")
    if uneven or not all(0 <= one <= width for one in accepted) or accepted[-1] + 1 < emitted[-1]:
        return None
    expected = [sum(one > place for one in accepted) for place in range(len(per_position or []))]
    if per_position is not None and expected != [int(value) for value in per_position]:
        return None
    return [width] * int(steps), accepted

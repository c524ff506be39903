"""The harness's rounds as llama.cpp would have counted them.

It counts accepted tokens as far as they are emitted, so none past an end token, and drafts no more than can still be
emitted before the limit. The same drafts in both engines therefore differ in an answer's last rounds only.
"""

from __future__ import annotations

from collections.abc import Iterable

#: Drafted, accepted and emitted tokens of one round.
Counts = tuple[int, int, int]


def as_counted(rounds: Iterable[Counts], max_new_tokens: int) -> list[Counts]:
    """The rounds of one answer, in order. Rounds that llama.cpp made itself stay as they are."""
    found, left = [], max_new_tokens - 1  # the first token comes from prefill
    for drafted, accepted, emitted in rounds:
        found.append((min(drafted, max(left - 1, 0)), min(accepted, emitted - 1), emitted))
        left -= emitted
    return found

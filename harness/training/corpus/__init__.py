"""The procedural corpus: seven kinds of chat, seeded, without end, split by prompt.

`stream` is the training side, `held_out` the other; `harness.tasks.scoring.corpus` scores the replies. The
kinds are unequally predictable, so that drafters differ on them as they do on real text.
"""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

from harness.training.corpus import arithmetic, code, dialogue, extraction, rewriting, stories, tables
from harness.training.corpus.chat import Chat, Exchange, Message, assemble

__all__ = ["KINDS", "WEIGHTS", "Chat", "Exchange", "Message", "held_out", "make_chat", "stream"]

KINDS = {
    "code": code.make,
    "arithmetic": arithmetic.make,
    "extraction": extraction.make,
    "tables": tables.make,
    "rewriting": rewriting.make,
    "stories": stories.make,
    "dialogue": dialogue.make,
}
# How often each kind is drawn in training. Kinds that copy get more: their replies are short, and a small model
# learns copying last.
WEIGHTS = {
    "code": 0.07, "arithmetic": 0.15, "extraction": 0.12, "tables": 0.20, "rewriting": 0.24, "stories": 0.17,
    "dialogue": 0.05,
}  # fmt: skip


def make_chat(kind: str, rng: Random) -> Chat:
    """One chat of a kind. Raises KeyError with the known kinds for an unknown one."""
    if kind not in KINDS:
        raise KeyError(f"corpus kind {kind!r}: expected one of {', '.join(KINDS)}")
    return assemble(kind, KINDS[kind](rng), rng)


def stream(seed: int) -> Iterator[Chat]:
    """Training chats without end; none of them is in the held-out split."""
    rng = Random(seed)
    names, weights = list(WEIGHTS), list(WEIGHTS.values())
    while True:
        chat = make_chat(rng.choices(names, weights)[0], rng)
        if not chat.is_held_out():
            yield chat


def held_out(kind: str, seed: int) -> Iterator[Chat]:
    """Held-out chats of one kind without end."""
    rng = Random(f"{kind}-{seed}")
    while True:
        chat = make_chat(kind, rng)
        if chat.is_held_out():
            yield chat

"""A chat of the corpus, and the parts that all kinds share: system turns, signatures, plans."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from random import Random

from harness.training.corpus.words import NAMES

Message = dict[str, str]

PERSONAS = (
    "You are a helpful assistant.",
    "You are a patient assistant who answers clearly.",
    "Be brief and exact.",
    "You help people with small daily tasks.",
)


@dataclass(slots=True)
class Exchange:
    """One user turn and the model's reply; `answer` is the key for scoring, None without one."""

    prompt: str
    reply: str
    answer: str | None = None
    plan: str = ""  # the text of the thought channel, with thinking on


@dataclass(slots=True)
class Chat:
    """A rendered conversation. `messages` ends with the model's last reply; `answer` belongs to that reply."""

    category: str
    messages: list[Message]
    answer: str | None = None
    thinking: bool = False
    exchanges: list[Exchange] = field(default_factory=list)

    @property
    def prompt_messages(self) -> list[Message]:
        """Everything up to the last user turn: what a prompt file ships."""
        return self.messages[:-1]

    def is_held_out(self) -> bool:
        """Whether this prompt belongs to the held-out split: one prompt in sixteen, by its text."""
        text = "\n".join(m["content"] for m in self.messages if m["role"] == "user")
        return hashlib.sha256(text.encode()).digest()[0] % 16 == 0


def assemble(category: str, exchanges: list[Exchange], rng: Random) -> Chat:
    """Wrap exchanges into a chat: at times a system turn, a signature that it asks for, or thinking."""
    messages: list[Message] = []
    signature = ""
    draw = rng.random()
    if draw < 0.12:
        messages.append({"role": "system", "content": rng.choice(PERSONAS)})
    elif draw < 0.22:
        name = rng.choice(NAMES)
        messages.append({"role": "system", "content": f"Sign every reply as {name}."})
        signature = f"\n-- {name}"
    thinking = rng.random() < 0.1
    for exchange in exchanges:
        messages.append({"role": "user", "content": exchange.prompt})
        reply = {"role": "assistant", "content": exchange.reply + signature}
        if thinking:
            reply["reasoning_content"] = exchange.plan or "Answer the user directly."
        messages.append(reply)
    return Chat(category, messages, exchanges[-1].answer, thinking, exchanges)

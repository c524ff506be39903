"""Scores replies to the procedural corpus, by one rule per kind of chat."""

from __future__ import annotations

import json
import re

SIGNATURE = re.compile(r"\n-- \w+\s*$")
THOUGHT = re.compile(r"^.*?<channel\|>", re.DOTALL)


def _visible(text: str) -> str:
    """The reply without its thought channel, its end-of-turn token and the signature a system turn may ask for."""
    text = THOUGHT.sub("", text).replace("<turn|>", "").replace("<eos>", "").strip()
    return SIGNATURE.sub("", text).strip()


def _number_is(answer: str, text: str) -> bool:
    found = re.findall(r"Answer: (-?\d+)", text)
    return bool(found) and found[-1] == answer


def _json_is(answer: str, text: str) -> bool:
    try:
        return bool(json.loads(text) == json.loads(answer))
    except json.JSONDecodeError:
        return text == answer


def score(category: str, answer: str | None, text: str) -> float | None:
    """1.0 for a right reply, 0.0 for a wrong one, None without a key.

    Arithmetic compares the number after `Answer:`, extraction the parsed JSON, stories and dialogue look for the key in
    the text, every other kind compares the exact text.
    """
    if answer is None:
        return None
    visible = _visible(text)
    if category == "arithmetic":
        return float(_number_is(answer, visible))
    if category == "extraction":
        return float(_json_is(answer, visible))
    if category in ("stories", "dialogue"):
        return float(answer in visible)
    return float(visible == answer.strip())

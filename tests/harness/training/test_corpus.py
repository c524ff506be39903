"""The corpus: seeded, split by prompt, with keys that its own replies satisfy."""

from __future__ import annotations

import json
from itertools import islice
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.tasks.scoring.corpus import score
from harness.training.corpus import KINDS, held_out, make_chat, stream
from harness.training.corpus.arithmetic import work


def test_a_seed_gives_the_same_chats() -> None:
    first = [c.messages for c in islice(stream(7), 30)]
    assert first == [c.messages for c in islice(stream(7), 30)]
    assert first != [c.messages for c in islice(stream(8), 30)]


def test_no_training_chat_is_held_out_and_the_held_out_ones_are() -> None:
    assert not any(c.is_held_out() for c in islice(stream(1), 500))
    assert all(c.is_held_out() for kind in KINDS for c in islice(held_out(kind, 0), 5))


@pytest.mark.parametrize("kind", KINDS)
def test_every_reply_satisfies_its_own_key(kind: str) -> None:
    for chat in islice(held_out(kind, 1), 60):
        assert score(kind, chat.answer, chat.messages[-1]["content"] + "<turn|>") in (1.0, None)


@pytest.mark.parametrize("kind", ["code", "arithmetic", "extraction", "tables", "rewriting"])
def test_a_wrong_reply_is_marked_wrong(kind: str) -> None:
    chat = next(held_out(kind, 2))
    assert score(kind, chat.answer, "I do not know.") == 0.0


@given(st.integers(0, 999), st.integers(0, 999), st.sampled_from("+-"))
def test_worked_sums_end_in_the_right_number(a: int, b: int, op: str) -> None:
    a, b = max(a, b), min(a, b)
    text, value = work(a, op, b)
    assert value == (a + b if op == "+" else a - b)
    assert text.endswith(f"{a} {op} {b} = {value}.")


def test_extraction_accepts_any_layout_of_the_same_json() -> None:
    chat = next(c for c in held_out("extraction", 3) if c.answer)
    assert score("extraction", chat.answer, json.dumps(json.loads(str(chat.answer)), indent=1)) == 1.0


def test_an_unknown_kind_is_refused_with_the_known_ones() -> None:
    with pytest.raises(KeyError, match="arithmetic"):
        make_chat("poems", Random(0))

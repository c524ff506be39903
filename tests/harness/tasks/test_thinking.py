"""The tokenizer's own marks separate thinking from the answer, and missing thinking is noticed."""

from __future__ import annotations

from typing import Any

import pytest

from drafters.errors import InputError
from harness.config import DatasetConfig
from harness.metrics.cells import cell_metrics
from harness.metrics.guards import cell_guards
from harness.tasks.chat import Chat
from harness.tasks.thinking import Thinking
from tests.helpers.record_tables import record, steps, tables

OPEN, CLOSE = 90, 91


class Letters:
    """A tokenizer of letters with Gemma 4's marks, as far as reading answers needs one."""

    def __init__(self, marks: bool = True, template: str = "{{ enable_thinking }}") -> None:
        self.marks, self.chat_template = marks, template

    def __call__(self, text: str, **options: Any) -> dict[str, list[int]]:
        return {"input_ids": ids(text)}

    def get_vocab(self) -> dict[str, int]:
        return {"<|channel>": OPEN, "<channel|>": CLOSE} if self.marks else {}

    def decode(self, ids: list[int], skip_special_tokens: bool = True) -> str:
        return "".join(chr(96 + token) for token in ids if token < OPEN)

    def apply_chat_template(self, messages: Any, enable_thinking: bool, **options: Any) -> str:
        return self.chat_template.replace("{{ enable_thinking }}", str(enable_thinking))


def ids(text: str) -> list[int]:
    return [{"<": OPEN, ">": CLOSE}.get(letter, ord(letter) - 96) for letter in text]


@pytest.mark.parametrize(
    ("text", "thought", "answer"),
    [
        ("abc", "", "abc"),
        ("<ab>cd", "ab", "cd"),
        ("ab>cd", "ab", "cd"),  # the template wrote the opening mark
        ("<ab", "ab", ""),  # cut at the length limit
        ("<a><b>c", "ab", "c"),
        ("<a>b<c", "ac", "b"),
        ("<>c", "", "c"),
        ("x<a>b", "a", "xb"),  # said before the thought
        ("<a>b<c>d", "ac", "bd"),  # said between two
        ("<a>b>c", "ab", "c"),  # the second thought's mark is missing
    ],
)
def test_the_marks_separate_thought_and_answer(text: str, thought: str, answer: str) -> None:
    found = Thinking(Letters()).split(ids(text))
    assert found == (ids(thought), ids(answer))


def test_without_marks_everything_is_answer() -> None:
    assert Thinking(Letters(marks=False)).split(ids("<ab>cd")) == ([], ids("<ab>cd"))


def test_an_empty_channel_is_no_thought() -> None:
    thinking = Thinking(Letters())
    assert thinking.count(ids("<thought>c")) == 0
    assert thinking.count(ids("<thoughtso>c")) == 9


def test_a_template_that_ignores_the_switch_is_refused() -> None:
    config = DatasetConfig(path="rows.jsonl", thinking=True)
    assert Chat(Letters(), config).thinking_tokens(ids("<ab>c")) == 2
    with pytest.raises(InputError, match=r"dataset\.thinking=true: the target's chat template ignores it"):
        Chat(Letters(template="always"), config)


def test_thinking_off_counts_nothing_and_answers_stay_readable() -> None:
    chat = Chat(Letters(), DatasetConfig(path="rows.jsonl"))
    assert chat.thinking_tokens(ids("<ab>c")) is None
    assert chat.answer(ids("<ab>c")) == "c"


@pytest.mark.parametrize(
    ("counts", "flagged"), [([0] * 10, True), ([0] * 9, False), ([0] * 10 + [5], False), ([None] * 10, False)]
)
def test_thinking_that_never_happened_is_flagged(counts: list[int | None], flagged: bool) -> None:
    records = [record(f"p{i}", "baseline", steps(2), thinking_tokens=count) for i, count in enumerate(counts)]
    cells = cell_metrics(*tables(records))
    codes = {guard.code for guards in cell_guards(cells) for guard in guards}
    assert ("no_thinking" in codes) is flagged

"""Rows of the common datasets are read as they are, and bad ones are named."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drafters.errors import InputError
from harness.config import DatasetConfig
from harness.tasks.dataset import load_prompts
from harness.tasks.prompts import Prompt, read_jsonl, stratified


def write(tmp_path: Path, *rows: Any) -> Path:
    path = tmp_path / "rows.jsonl"
    path.write_text("\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows), encoding="utf-8")
    return path


def test_arithmetic_rows_have_a_question_and_an_answer(tmp_path: Path) -> None:
    [prompt] = read_jsonl(write(tmp_path, {"question": "1 + 1?", "answer": "#### 2"}))
    assert prompt == Prompt("rows-1", "rows", ("1 + 1?",), answer="#### 2")


def test_bench_rows_have_turns_an_id_and_a_category(tmp_path: Path) -> None:
    [prompt] = read_jsonl(write(tmp_path, {"question_id": 81, "category": "writing", "turns": ["a", "b"]}))
    assert prompt == Prompt("81", "writing", ("a", "b"))


def test_plain_rows_have_a_prompt(tmp_path: Path) -> None:
    assert read_jsonl(write(tmp_path, {"prompt": "Hello"}))[0].turns == ("Hello",)


def test_messages_before_the_last_question_are_kept(tmp_path: Path) -> None:
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Why?"}]
    [prompt] = read_jsonl(write(tmp_path, {"messages": messages}))
    assert (prompt.opening, prompt.turns) == ((("system", "Be brief."),), ("Why?",))


def test_blank_lines_are_skipped_and_numbers_count_them(tmp_path: Path) -> None:
    prompts = read_jsonl(write(tmp_path, {"prompt": "a"}, "", {"prompt": "b"}, ""))
    assert [prompt.prompt_id for prompt in prompts] == ["rows-1", "rows-3"]


def test_line_separators_inside_a_text_do_not_split_a_row(tmp_path: Path) -> None:
    path = write(tmp_path, '{"prompt": "one\u2028two"}')
    assert read_jsonl(path)[0].turns == ("one\u2028two",)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("{not json", "line 2: not JSON"),
        ("[1]", "line 2: expected a JSON object, found list"),
        ({"text": "x"}, "line 2: expected one of turns, messages, question, prompt, found text"),
        ({}, "found no field"),
        ({"prompt": "  "}, "line 2: prompt must be text and not empty"),
        ({"question": 3}, "line 2: question must be text"),
        ({"turns": "x"}, "line 2: turns must be a list"),
        ({"turns": []}, "line 2: turns must be a list of texts with at least one entry"),
        ({"turns": ["a", ""]}, "line 2: turns must be text and not empty"),
        ({"messages": []}, "line 2: messages must be a list"),
        ({"messages": [{"role": "robot", "content": "x"}]}, "line 2: each message needs a role"),
        ({"messages": [{"role": "assistant", "content": "x"}]}, "line 2: the last message must be the user's"),
        ({"messages": [{"role": "user"}]}, "line 2: message content must be text"),
        ({"id": "first", "prompt": "x"}, "line 2: id first was already used in line 1"),
    ],
)
def test_a_bad_row_is_named_by_its_line(tmp_path: Path, row: Any, message: str) -> None:
    path = write(tmp_path, {"id": "first", "prompt": "fine"}, row)
    with pytest.raises(InputError) as error:
        read_jsonl(path)
    assert message in str(error.value)
    assert str(path) in str(error.value)


def test_an_empty_file_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    for path, message in [
        (write(tmp_path, ""), "holds no row"),
        (tmp_path / "absent.jsonl", "found none"),
        (tmp_path, "found a folder"),
    ]:
        with pytest.raises(InputError, match=message):
            read_jsonl(path)


def test_bytes_that_are_not_text_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b'{"prompt": "\xff"}')
    with pytest.raises(InputError, match="not UTF-8"):
        read_jsonl(path)


def test_categories_choose_rows_and_unknown_ones_are_named(tmp_path: Path) -> None:
    path = write(tmp_path, {"prompt": "a", "category": "code"}, {"prompt": "b", "category": "chat"})
    chosen = load_prompts(DatasetConfig(path=str(path), categories=["chat"]), seed=0)
    assert [prompt.turns for prompt in chosen] == [("b",)]
    with pytest.raises(InputError, match=r"dataset.categories=poetry: not in .*chat, code"):
        load_prompts(DatasetConfig(path=str(path), categories=["poetry"]), seed=0)


def prompts_of(sizes: list[int]) -> list[Prompt]:
    return [Prompt(f"{c}-{i}", str(c), ("x",)) for c, size in enumerate(sizes) for i in range(size)]


@given(
    st.lists(st.integers(1, 12), min_size=1, max_size=6),
    st.integers(1, 80),
    st.integers(0, 3),
)
def test_a_limit_keeps_each_category_within_one_of_its_share(sizes: list[int], limit: int, seed: int) -> None:
    prompts = prompts_of(sizes)
    chosen = stratified(prompts, limit, seed)
    assert len(chosen) == min(limit, len(prompts))
    assert chosen == [prompt for prompt in prompts if prompt in chosen], "file order is kept"
    counts = Counter(prompt.category for prompt in chosen)
    for category, size in enumerate(sizes):
        assert abs(counts[str(category)] - min(limit, len(prompts)) * size / len(prompts)) < 1
    assert stratified(prompts, limit, seed) == chosen


def test_another_seed_draws_other_rows() -> None:
    prompts = prompts_of([30])
    assert stratified(prompts, 10, 0) != stratified(prompts, 10, 1)

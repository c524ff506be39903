"""Rows in their publishers' own schemas become the prompts that the papers used."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest

from drafters.errors import InputError
from harness.config import DatasetConfig, RowConfig
from harness.tasks.mapping import RowMapping
from harness.tasks.prompts import Prompt
from harness.tasks.rows import SourceRow
from tests.helpers.composing import composed

STEPS = "\nPlease reason step by step, and put your final answer within \\boxed{}."


@cache
def dataset(name: str) -> DatasetConfig:
    return composed(f"dataset={name}", "dataset.path=rows.jsonl").dataset


def prompt(name: str, values: dict[str, Any]) -> Prompt:
    config = dataset(name)
    return RowMapping(config.row, config.label, config.source.by_hand)(SourceRow(values, 7, "rows.jsonl, line 7"))


def test_gsm8k() -> None:
    asked = prompt("gsm8k", {"question": "1 + 1?", "answer": "It is 2.\n#### 2"})
    assert asked == Prompt("gsm8k-7", "gsm8k", ("1 + 1?" + STEPS,), answer="It is 2.\n#### 2")


def test_math500_has_subjects_for_categories() -> None:
    row = {
        "problem": "$x$?",
        "solution": "s",
        "answer": "p",
        "subject": "Algebra",
        "level": 2,
        "unique_id": "test/1.json",
    }
    assert prompt("math500", row) == Prompt("test/1.json", "Algebra", ("$x$?" + STEPS,), answer="p")


@pytest.mark.parametrize(
    ("name", "row"),
    [
        ("aime2024", {"id": 60, "problem": "P", "solution": "s", "answer": "204", "url": "u", "year": "2024"}),
        ("aime2025", {"problem_idx": 1, "problem": "P", "answer": 70, "problem_type": ["Number Theory"]}),
    ],
)
def test_aime(name: str, row: dict[str, Any]) -> None:
    assert prompt(name, row) == Prompt(f"{name}-7", name, ("P" + STEPS,), answer=row["answer"])


def test_humaneval_keeps_the_columns_of_its_tests() -> None:
    row = {"task_id": "HumanEval/0", "prompt": "def f():\n", "canonical_solution": "c", "test": "t", "entry_point": "f"}
    asked = prompt("humaneval", row)
    opening = "Write a solution to the following problem and make sure that it passes the tests:\n"
    assert asked.turns == (opening + "```python\ndef f():\n\n```",)
    assert (asked.prompt_id, asked.answer) == ("HumanEval/0", {"prompt": "def f():\n", "test": "t", "entry_point": "f"})


def test_mbpp_questions_are_left_unchanged() -> None:
    row = {
        "task_id": 2,
        "prompt": "Write it.",
        "code": "c",
        "test_imports": [],
        "test_list": ["assert f()"],
        "source_file": "s",
    }
    asked = prompt("mbpp", row)
    assert (asked.prompt_id, asked.turns) == ("2", ("Write it.",))
    assert asked.answer == {"test_list": ["assert f()"], "test_imports": [], "code": "c"}


def test_mbpp_in_the_full_datasets_columns() -> None:
    asked = prompt("mbpp", {"task_id": 11, "text": "Write it.", "code": "c", "test_list": ["t"], "test_setup_code": ""})
    assert (asked.prompt_id, asked.turns) == ("11", ("Write it.",))


@pytest.mark.parametrize("name", ["aime2024", "aime2025"])
def test_aime_in_the_capital_columns_of_another_copy(name: str) -> None:
    row = {"ID": "2024-II-4", "Problem": "P", "Solution": "s", "Answer": 33}
    assert prompt(name, row) == Prompt("2024-II-4", name, ("P" + STEPS,), answer=33)


@pytest.mark.parametrize("name", ["gsm8k", "math500", "humaneval", "mbpp", "aime2024", "alpaca", "livecodebench"])
def test_ready_made_turns_are_taken_unchanged_under_the_datasets_own_name(name: str) -> None:
    asked = prompt(name, {"turns": ["Ready." + STEPS]})
    assert (asked.turns, asked.answer, asked.category) == (("Ready." + STEPS,), None, name)


@pytest.mark.parametrize("end", [STEPS, STEPS + "\n", STEPS.replace("\n", "  ")])
def test_an_existing_suffix_is_not_added_again(end: str) -> None:
    for name, column in (("gsm8k", "question"), ("math500", "problem"), ("aime2024", "problem")):
        assert prompt(name, {column: "1 + 1?" + end}).turns == ("1 + 1?" + end,)
        assert prompt(name, {column: "Please reason."}).turns == ("Please reason." + STEPS,)


def test_words_around_a_column_appear_once() -> None:
    def asked(template: str, text: str) -> str:
        return RowMapping(RowConfig(template=template), "d")(SourceRow({"q": text}, 1, "here")).turns[0]

    around = "Solve this problem:\n{{ q }}\nEnd with it."
    assert asked(around, "1?") == "Solve this problem:\n1?\nEnd with it."
    assert asked(around, asked(around, "1?")) == asked(around, "1?")
    assert asked(around, "1?\nEnd with it.") == "Solve this problem:\n1?\nEnd with it.\nEnd with it.", "half of them"
    assert asked("{{ q }}.", "1.") == "1..", "a mark alone is no word"


@pytest.mark.parametrize(
    ("starter", "wanted"),
    [
        ("", "### Format: Write your code in the following format:\n```python\n# YOUR CODE HERE\n```"),
        ("class S:", "### Format: Use the following code structure:\n```python\nclass S:\n```"),
    ],
)
def test_livecodebench_shows_the_starter_if_there_is_one(starter: str, wanted: str) -> None:
    row = {"question_id": "abc", "question_content": "Q", "starter_code": starter, "difficulty": "hard"}
    asked = prompt("livecodebench", row)
    assert (asked.prompt_id, asked.category) == ("abc", "hard")
    end = "\n\n### Answer: (use the provided format with backticks)"
    assert asked.turns[0].endswith(f"the program\n\n### Question:\nQ\n\n{wanted}{end}")


@pytest.mark.parametrize("row", [
    {"question_id": 81, "category": "writing", "turns": ["One", "Two"], "reference": ["r"]},
    {"prompt_id": 81, "category": "writing", "prompt": ["One", "Two"], "reference": []},
])  # fmt: skip
def test_mt_bench_in_both_published_schemas(row: dict[str, Any]) -> None:
    assert prompt("mt_bench", row) == Prompt("81", "writing", ("One", "Two"))


@pytest.mark.parametrize(("extra", "wanted"), [("", "Do it."), ("This", "Do it.\n\nInput:\nThis")])
def test_alpaca(extra: str, wanted: str) -> None:
    row = {"instruction": "Do it.", "input": extra, "output": "o", "text": "t"}
    assert prompt("alpaca", row).turns == (wanted,)


@pytest.mark.parametrize(
    ("theirs", "ours"), [("math", "mt_bench"), ("math_reasoning", "math_reasoning"), ("rag", "rag")]
)
def test_spec_bench_has_six_tasks(theirs: str, ours: str) -> None:
    row = {"question_id": 1, "category": theirs, "turns": ["a", "b"]}
    assert prompt("spec_bench", row) == Prompt("1", ours, ("a", "b"))


def test_speed_bench_refuses_rows_that_were_never_filled_in() -> None:
    row = {"question_id": "q", "category": "coding", "turns": ["Sort this."]}
    assert prompt("speed_bench", row).category == "coding"
    row["turns"] = ["FULL BENCHMARK DATA SHOULD BE FETCHED FROM THE SOURCE USING SPECDEC_BENCH"]
    with pytest.raises(InputError, match=r"line 7: published without its text .*prepare_data\.py"):
        prompt("speed_bench", row)


def test_hospital_is_one_conversation_with_a_system_message() -> None:
    config = composed("dataset=hospital").dataset
    assert config.prompts is not None
    asked = RowMapping(config.row, config.label)(SourceRow(config.prompts[0], 1, "here"))
    assert asked.opening == (("system", "You are a helpful expert software architect."),)
    assert asked.turns == ("Design a complete hospital management system REST API.",)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (RowConfig(template="{{ question }}"), "dataset.row.template: 'question' is undefined; columns are text, null"),
        (RowConfig(turns=["turns", "prompt"]), "expected the turns in turns or prompt, columns are text, null"),
        (RowConfig(template="{{ text[3:] }}"), "the rendered template must be text and not empty"),
        (RowConfig(template="{{ text + 1 }}"), "dataset.row.template: can only concatenate"),
        (RowConfig(template="{{ text }} {{ null }}"), "a column that it writes is missing (None)"),
        (RowConfig(template="{{ text }} {{ nan }}"), "a column that it writes is missing (nan)"),
        (RowConfig(template="{{ text }}", id=["list"]), "list must be text or a number, found [1]"),
        (RowConfig(template="{{ text }}", category="nan"), "nan must be text or a number, found nan"),
        (RowConfig(turns=["written"]), "its turns are a list written as text"),
        (RowConfig(turns=["number"]), "turns must be a list of texts"),
        (RowConfig(), "expected one of turns, messages, question, prompt, found text, null"),
        (RowConfig(), "the first turn of ShareGPT's form is read with '+dataset.row.template="),
    ],
)
def test_an_unfit_row_is_named_with_its_columns(config: RowConfig, message: str) -> None:
    values = {"text": "x", "null": None, "nan": float("nan"), "list": [1], "written": "['a', 'b']", "number": 3}
    values |= {"conversations": [{"from": "human", "value": "Hi"}]} if "ShareGPT" in message else {}
    with pytest.raises(InputError) as error:
        RowMapping(config, "d")(SourceRow(values, 3, "rows.jsonl, line 3"))
    assert str(error.value).startswith("rows.jsonl, line 3") and message in str(error.value)


def test_the_first_turn_of_sharegpts_form_is_read_by_the_template_that_the_error_names() -> None:
    config = RowConfig(template="{{ conversations[0].value }}")
    turns = [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello"}]
    assert RowMapping(config, "d")(SourceRow({"id": "x", "conversations": turns}, 1, "here")).turns == ("Hi",)


def test_an_empty_id_or_category_is_none_and_zero_is_one() -> None:
    def asked(**values: Any) -> tuple[str, str]:
        found = RowMapping(RowConfig(), "d")(SourceRow({"prompt": "p", **values}, 4, "here"))
        return found.prompt_id, found.category

    assert asked(id="", category="") == asked() == ("d-4", "d")
    assert asked(id=0, category=0) == ("0", "0")


def test_only_used_columns_are_read() -> None:
    config = dataset("livecodebench")
    assert RowMapping(config.row, "d").columns == ["difficulty", "question_content", "question_id", "starter_code"]
    assert RowMapping(RowConfig(), "d").columns == []


def test_rules_that_contradict_each_other_are_refused() -> None:
    with pytest.raises(InputError, match="template and turns are both set"):
        RowConfig(template="x", turns=["y"])
    with pytest.raises(InputError, match=r"dataset\.row\.template: not a Jinja template"):
        RowMapping(RowConfig(template="{{ open"), "d")

"""Builds a test program from an answer: HumanEval's or MBPP's tests around the model's code."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from markdown_it import MarkdownIt

from harness.tasks.scoring.names import bound_names, functions_for, needed_names

#: Fences as in Markdown: a closing fence stands on its own line, so three backticks inside a line end nothing.
MARKDOWN = MarkdownIt("zero").enable("fence")
PYTHON = ("", "py", "python", "python3")  # labels of code blocks; a shell or output block does not count


def code_of(text: str, *wanted: str) -> str:
    """The code of an answer: the last fenced block that defines all of `wanted`, else all blocks, else the text."""
    fences = [token for token in MARKDOWN.parse(text) if token.type == "fence"]
    blocks = [token.content.strip("\n") for token in fences if _language(token.info) in PYTHON]
    if not blocks:
        return text.strip("\n")
    defining = [block for block in blocks if all(defines(block, name) for name in wanted)] if wanted else []
    return defining[-1] if defining else "\n\n".join(blocks)


def _language(info: str) -> str:
    return info.split()[0].lower() if info.strip() else ""


def defines(code: str, name: str) -> bool:
    """Whether `code` binds `name` at its top level, or, if it does not parse, has a line `def name(`."""
    definition = rf"^(?:async\s+)?def\s+{re.escape(name)}\s*\("
    return name in bound_names(code) or re.search(definition, code, re.MULTILINE) is not None


def humaneval_program(answer: Mapping[str, Any], text: str) -> str:
    """The dataset's tests after the answer. The prompt comes first: its imports and helpers belong to the task.

    An answer that defines the function replaces the prompt's stub; any other is read as the stub's body.
    """
    entry = str(answer["entry_point"])
    code = code_of(text, entry)
    if not defines(code, entry) and not code.startswith((" ", "\t")):
        code = "\n".join(f"    {line}" for line in code.split("\n"))
    return f"{answer['prompt']}\n{code}\n\n{answer['test']}\n\ncheck({entry})\n"


def mbpp_program(answer: Mapping[str, Any], text: str) -> str:
    """The dataset's assertions after the answer. Raises ValueError if the assertions are not Python.

    The published prompt does not name the function that the assertions call. If the answer uses another name, its last
    function that takes their arguments gets the expected name as well.
    """
    tests = lines_of(answer, "test_list")
    if not tests:
        raise ValueError("its test_list is empty, so that every answer would pass")
    imports = lines_of(answer, "test_imports") if answer.get("test_imports") else []
    # The set-up of the full dataset may build objects of the answer's own classes.
    setup = [str(answer["test_setup_code"])] if answer.get("test_setup_code") else []
    needed = needed_names(tests, [*imports, *setup], answer.get("code"))
    code = code_of(text, *needed)
    missing = [name for name in needed if not defines(code, name)]
    alias = ""
    if len(missing) == 1:
        functions = [name for name in functions_for(code, missing[0], tests) if name not in needed]
        alias = f"\n{missing[0]} = {functions[-1]}" if functions else ""
    return "\n".join([*imports, code + alias, *setup, *tests]) + "\n"


def lines_of(answer: Mapping[str, Any], column: str) -> list[str]:
    """A column that must be a list of lines: text in its place (a CSV holds no lists) would run and test nothing."""
    if not isinstance(answer[column], list | tuple):
        kind = type(answer[column]).__name__
        raise ValueError(f"its {column} is {kind}, expected a list; use a copy in JSON or Parquet")
    return [str(line) for line in answer[column]]

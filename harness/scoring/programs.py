"""From an answer to a program that passes or does not: HumanEval's and MBPP's tests around the model's code."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from typing import Any

FENCE = re.compile(r"```[ \t]*(?:[pP]ython3?|py)?[ \t]*\n(.*?)(?:```|\Z)", re.DOTALL)
CALLED = re.compile(r"assert\s+(?:not\s+)?\(*\s*(?:[a-z_.]+\()*?([A-Za-z_]\w*)\(")


def code_of(text: str, wanted: str | None = None) -> str:
    """The code of an answer: the last fenced block that defines `wanted`, else all blocks together, else the text."""
    blocks = [block.strip("\n") for block in FENCE.findall(text)]
    if not blocks:
        return text.strip("\n")
    if wanted is not None:
        defining = [block for block in blocks if defines(block, wanted)]
        if defining:
            return defining[-1]
    return "\n\n".join(blocks)


def defines(code: str, name: str) -> bool:
    return re.search(rf"^(?:async\s+)?def\s+{re.escape(name)}\s*\(", code, re.MULTILINE) is not None


def humaneval_program(answer: Mapping[str, Any], text: str) -> str:
    """The dataset's tests after the answer. The prompt stands first: its imports and helpers belong to the task.

    An answer that defines the function replaces the prompt's stub; any other is read as the stub's body.
    """
    entry = str(answer["entry_point"])
    code = code_of(text, entry)
    if not defines(code, entry) and not code.startswith((" ", "\t")):
        code = "\n".join(f"    {line}" for line in code.split("\n"))
    return f"{answer['prompt']}\n{code}\n\n{answer['test']}\n\ncheck({entry})\n"


def mbpp_program(answer: Mapping[str, Any], text: str) -> str:
    """The dataset's assertions after the answer.

    The published prompt does not say which name the assertions call; where the answer uses another one, its last
    function is called by the expected name.
    """
    tests = [str(test) for test in answer["test_list"]]
    names = [name for test in tests for name in CALLED.findall(test)]
    wanted = max(names, key=names.count) if names else None
    code = code_of(text, wanted)
    alias = ""
    if wanted is not None and not defines(code, wanted):
        functions = top_level_functions(code)
        alias = f"\n{wanted} = {functions[-1]}" if functions else ""
    imports = [str(line) for line in answer.get("test_imports") or []]
    return "\n".join([*imports, code + alias, *tests]) + "\n"


def top_level_functions(code: str) -> list[str]:
    """Names of the functions that `code` defines, in order; none where it does not parse."""
    try:
        tree = ast.parse(code)
    except (SyntaxError, ValueError):
        return []
    return [node.name for node in tree.body if isinstance(node, ast.FunctionDef)]

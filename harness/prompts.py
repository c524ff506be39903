"""Datasets become prompts: rows of a JSONL file, as their publishers wrote them.

A row holds one of `question`, `prompt`, `turns` or `messages`. Nothing here knows a model; `harness.chat` renders.
"""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.config import DatasetConfig
from harness.errors import InputError

TEXT_FIELDS = ("turns", "messages", "question", "prompt")
ID_FIELDS = ("prompt_id", "question_id", "task_id", "id")
ROLES = ("system", "user", "assistant")


@dataclass(frozen=True, slots=True)
class Prompt:
    """One conversation to be decoded: `turns` are asked in order, each after the baseline's answer to the one before.

    `opening` holds what stands before the first turn: a system message, or turns whose answers are given.
    """

    prompt_id: str
    category: str
    turns: tuple[str, ...]
    opening: tuple[tuple[str, str], ...] = ()  # (role, content)
    answer: Any = None


def load_prompts(config: DatasetConfig, seed: int) -> list[Prompt]:
    """The prompts that `dataset` asks for, in file order. Raises InputError naming the line or the key."""
    prompts = read_jsonl(Path(str(config.path)))
    if config.categories is not None:
        known = {prompt.category for prompt in prompts}
        for category in config.categories:
            if category not in known:
                raise InputError(
                    f"dataset.categories={category}: not in {config.path}, which has {', '.join(sorted(known))}"
                )
        prompts = [prompt for prompt in prompts if prompt.category in config.categories]
        if not prompts:
            raise InputError("dataset.categories=[]: expected at least one category, or null for all")
    return stratified(prompts, config.limit, seed)


def read_jsonl(path: Path) -> list[Prompt]:
    """Every row of `path` as a prompt. Blank lines are skipped; a bad one is named by its number."""
    if not path.is_file():
        raise InputError(f"dataset.path={path}: expected a JSONL file, found {'a folder' if path.is_dir() else 'none'}")
    prompts: list[Prompt] = []
    seen: dict[str, int] = {}
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except UnicodeDecodeError as error:
        raise InputError(f"dataset.path={path}: not UTF-8 text ({error.reason} at byte {error.start})") from error
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        where = f"{path}, line {number}"
        prompt = _prompt(line, where, path.stem, number)
        if prompt.prompt_id in seen:
            raise InputError(f"{where}: id {prompt.prompt_id} was already used in line {seen[prompt.prompt_id]}")
        seen[prompt.prompt_id] = number
        prompts.append(prompt)
    if not prompts:
        raise InputError(f"dataset.path={path}: the file holds no row, expected at least one")
    return prompts


def _prompt(line: str, where: str, stem: str, number: int) -> Prompt:
    try:
        row = json.loads(line)
    except json.JSONDecodeError as error:
        raise InputError(f"{where}: not JSON ({error.msg} at column {error.colno})") from error
    if not isinstance(row, dict):
        raise InputError(f"{where}: expected a JSON object, found {type(row).__name__}")
    kind = next((name for name in TEXT_FIELDS if row.get(name) is not None), None)
    if kind is None:
        raise InputError(f"{where}: expected one of {', '.join(TEXT_FIELDS)}, found {', '.join(row) or 'no field'}")
    opening: tuple[tuple[str, str], ...] = ()
    if kind == "messages":
        opening, turns = _from_messages(row[kind], where)
    elif kind == "turns":
        turns = _texts(row[kind], where, kind)
    else:
        turns = _texts([row[kind]], where, kind)
    identifier = next((row[name] for name in ID_FIELDS if row.get(name) is not None), f"{stem}-{number}")
    return Prompt(str(identifier), str(row.get("category") or stem), turns, opening, row.get("answer"))


def _texts(values: Any, where: str, name: str) -> tuple[str, ...]:
    if not isinstance(values, list) or not values:
        raise InputError(f"{where}: {name} must be a list of texts with at least one entry")
    for value in values:
        if not isinstance(value, str) or not value.strip():
            raise InputError(f"{where}: {name} must be text and not empty, found {value!r}")
    return tuple(values)


def _from_messages(messages: Any, where: str) -> tuple[tuple[tuple[str, str], ...], tuple[str, ...]]:
    if not isinstance(messages, list) or not messages:
        raise InputError(f"{where}: messages must be a list with at least one entry")
    pairs: list[tuple[str, str]] = []
    for message in messages:
        if not isinstance(message, dict) or message.get("role") not in ROLES:
            raise InputError(f"{where}: each message needs a role, one of {', '.join(ROLES)}; found {message!r}")
        pairs.append((message["role"], _texts([message.get("content")], where, "message content")[0]))
    if pairs[-1][0] != "user":
        raise InputError(f"{where}: the last message must be the user's, found role {pairs[-1][0]}")
    return tuple(pairs[:-1]), (pairs[-1][1],)


def stratified(prompts: Sequence[Prompt], limit: int | None, seed: int) -> list[Prompt]:
    """`limit` prompts, each category in proportion to its size (largest remainder), drawn by `seed`, in file order."""
    if limit is None or limit >= len(prompts):
        return list(prompts)
    groups: dict[str, list[int]] = {}
    for index, prompt in enumerate(prompts):
        groups.setdefault(prompt.category, []).append(index)
    exact = {category: limit * len(rows) / len(prompts) for category, rows in groups.items()}
    shares = {category: int(share) for category, share in exact.items()}
    by_remainder = sorted(groups, key=lambda category: shares[category] - exact[category])
    for category in by_remainder[: limit - sum(shares.values())]:
        shares[category] += 1
    chosen: list[int] = []
    for category, rows in groups.items():
        # A string seed, so that the draw of one category does not depend on which others are there.
        chosen += random.Random(f"{seed}/{category}").sample(rows, shares[category])
    return [prompts[index] for index in sorted(chosen)]

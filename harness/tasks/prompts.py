"""Prompts, and their reading from rows of a file.

A row holds one of `question`, `prompt`, `turns` or `messages`. Nothing here knows a model; `chat.py` renders.
"""

from __future__ import annotations

import json
import random
import reprlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from drafters.errors import InputError
from harness.config import name_of
from harness.tasks.rows import SourceRow, read_rows

TEXT_FIELDS = ("turns", "messages", "question", "prompt")
ID_FIELDS = ("prompt_id", "question_id", "task_id", "id")
ROLES = ("system", "user", "assistant")
#: ShareGPT's column, whose turns are objects and end with an answer.
CONVERSATIONS = "conversations"


@dataclass(frozen=True, slots=True)
class Prompt:
    """One conversation to be decoded: `turns` are asked in order, each after the baseline's answer to the one before.

    `opening` holds the messages before the first turn: a system message, or turns with given answers.
    """

    prompt_id: str
    category: str
    turns: tuple[str, ...]
    opening: tuple[tuple[str, str], ...] = ()  # (role, content)
    answer: Any = None

    def messages(self, answers: Sequence[str] = ()) -> list[dict[str, str]]:
        """The conversation that waits for an answer to turn `len(answers)`, after `answers` to the turns before it."""
        messages = [{"role": role, "content": content} for role, content in self.opening]
        for turn, answer in zip(self.turns, answers, strict=False):
            messages += [{"role": "user", "content": turn}, {"role": "assistant", "content": answer}]
        return [*messages, {"role": "user", "content": self.turns[len(answers)]}]


def read_jsonl(path: Path) -> list[Prompt]:
    """Every row of `path` as a prompt; blank lines are skipped. Raises InputError that names the bad line."""
    prompts = distinct((prompt_from(row, name_of(path)), row.where) for row in read_rows(path))
    if not prompts:
        raise InputError(f"dataset.path={path}: the file holds no row, expected at least one")
    return prompts


def distinct(found: Iterable[tuple[Prompt, str]]) -> list[Prompt]:
    """The prompts of (prompt, place) pairs. Raises InputError if two share an id."""
    seen: dict[str, str] = {}
    prompts: list[Prompt] = []
    for prompt, where in found:
        if prompt.prompt_id in seen:
            earlier = seen[prompt.prompt_id].rpartition(", ")[2]
            raise InputError(f"{where}: id {prompt.prompt_id} was already used in {earlier}")
        seen[prompt.prompt_id] = where
        check_writable(prompt, where)
        prompts.append(prompt)
    return prompts


def check_writable(prompt: Prompt, where: str) -> None:
    """Raises InputError, naming the place and the field, for a value that cannot be hashed, encoded or written."""
    fields = {
        "id": prompt.prompt_id,
        "category": prompt.category,
        "text": (prompt.opening, prompt.turns),
        "answer": prompt.answer,
    }
    for name, value in fields.items():
        try:
            json.dumps(value, ensure_ascii=False, allow_nan=False, default=str).encode()
        except UnicodeEncodeError as error:
            half = ascii(error.object[error.start])
            raise InputError(
                f"{where}: its {name} holds half a surrogate pair ({half}), expected text that UTF-8 can write"
            ) from error
        except RecursionError as error:
            raise InputError(f"{where}: its {name} is nested too deeply to be written down") from error
        except (ValueError, TypeError) as error:
            raise InputError(f"{where}: its {name} cannot be written as JSON ({error})") from error


def prompt_from(row: SourceRow, stem: str) -> Prompt:
    """The prompt of a row with its text in one of TEXT_FIELDS; `stem` stands in for a missing id or category."""
    values, where = row.values, row.where
    kind = next((name for name in TEXT_FIELDS if values.get(name) is not None), None)
    if kind is None:
        hint = ""
        if values.get(CONVERSATIONS):
            first = f"{{{{ {CONVERSATIONS}[0].value }}}}"
            hint = f"; the first turn of ShareGPT's form is read with '+dataset.row.template=\"{first}\"'"
        raise InputError(f"{where}: expected one of {', '.join(TEXT_FIELDS)}, found {columns_of(values)}{hint}")
    opening: tuple[tuple[str, str], ...] = ()
    if kind == "messages":
        opening, turns = _from_messages(values[kind], where)
    elif kind == "turns":
        turns = texts(values[kind], where, kind)
    else:
        turns = texts([values[kind]], where, kind)
    identifier = name_from(values, ID_FIELDS, where) or f"{stem}-{row.number}"
    return Prompt(identifier, name_from(values, ("category",), where) or stem, turns, opening, values.get("answer"))


def columns_of(values: Mapping[str, Any]) -> str:
    """A row's columns, in words."""
    return ", ".join(reprlib.repr(name)[1:-1] for name in values) or "no field"


def name_from(values: Mapping[str, Any], columns: Iterable[str], where: str) -> str | None:
    """The first non-empty value of `columns`, as text. Raises InputError if it is a list, an object or NaN."""
    for column in columns:
        value = values.get(column)
        if value is None or value == "":
            continue
        if isinstance(value, list | dict) or value != value:  # NaN is not itself
            raise InputError(f"{where}: {column} must be text or a number, found {reprlib.repr(value)}")
        return str(value)
    return None


def texts(values: Any, where: str, name: str) -> tuple[str, ...]:
    """`values` as a tuple of non-empty texts. Raises InputError that names the place and the field."""
    if not isinstance(values, list) or not values:
        raise InputError(f"{where}: {name} must be a list of texts with at least one entry")
    for value in values:
        if not isinstance(value, str) or not value.strip():
            raise InputError(f"{where}: {name} must be text and not empty, found {reprlib.repr(value)}")
    return tuple(values)


def _from_messages(messages: Any, where: str) -> tuple[tuple[tuple[str, str], ...], tuple[str, ...]]:
    if not isinstance(messages, list) or not messages:
        raise InputError(f"{where}: messages must be a list with at least one entry")
    pairs: list[tuple[str, str]] = []
    for message in messages:
        if not isinstance(message, dict) or message.get("role") not in ROLES:
            shown = reprlib.repr(message)
            raise InputError(f"{where}: each message needs a role, one of {', '.join(ROLES)}; found {shown}")
        pairs.append((message["role"], texts([message.get("content")], where, "message content")[0]))
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
        # Seeded per category, so that its draw does not depend on the other categories.
        chosen += random.Random(f"{seed}/{category}").sample(rows, shares[category])
    return [prompts[index] for index in sorted(chosen)]


def in_strata(prompts: Sequence[Prompt]) -> list[Prompt]:
    """All `prompts`, so ordered that any run of neighbours holds each category in proportion to its size.

    Within a category the order is the file's: prompt i of n stands at (i + 1/2) / n of the way.
    """
    sizes, seen = Counter(prompt.category for prompt in prompts), Counter[str]()
    places: list[float] = []
    for prompt in prompts:
        places.append((seen[prompt.category] + 0.5) / sizes[prompt.category])
        seen[prompt.category] += 1
    return [prompts[index] for index in sorted(range(len(prompts)), key=lambda index: (places[index], index))]

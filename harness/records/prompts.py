"""The prompts of a run, kept beside its records, so that a report can show them without the dataset."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from harness.records.files import PROMPTS, replace_file
from harness.records.stored import warn_once


class Prompt(Protocol):
    """The four fields of a prompt that a run keeps."""

    @property
    def prompt_id(self) -> str: ...

    @property
    def category(self) -> str: ...

    @property
    def turns(self) -> tuple[str, ...]: ...

    @property
    def opening(self) -> tuple[tuple[str, str], ...]: ...


@dataclass(frozen=True, slots=True)
class KeptPrompt:
    """A prompt read back: `opening` are (role, text) before the first turn, `turns` the user's messages in order."""

    prompt_id: str
    category: str
    turns: tuple[str, ...]
    opening: tuple[tuple[str, str], ...] = ()


def write_prompts(run_dir: str | Path, prompts: Iterable[Prompt]) -> None:
    """Replace `prompts.jsonl`, one line per prompt, without the dataset's answers."""
    lines = [
        {
            "prompt_id": p.prompt_id,
            "category": p.category,
            "turns": list(p.turns),
            "opening": [list(o) for o in p.opening],
        }
        for p in prompts
    ]
    text = "".join(json.dumps(line) + "\n" for line in lines)
    replace_file(Path(run_dir) / PROMPTS, text)


def read_prompts(run_dir: str | Path) -> dict[str, KeptPrompt]:
    """The kept prompts by id; empty for a run without any. A damaged line is skipped with a warning."""
    path = Path(run_dir) / PROMPTS
    kept: dict[str, KeptPrompt] = {}
    damaged = 0
    for raw in path.read_bytes().split(b"\n") if path.exists() else []:
        if raw:
            try:
                prompt = _from_line(json.loads(raw.decode("utf-8")))
            except (ValueError, KeyError, TypeError):
                damaged += 1
            else:
                kept[prompt.prompt_id] = prompt
    if damaged:
        warn_once(f"{path} is damaged, {damaged} of its prompts cannot be read: continuing the run writes it anew")
    return kept


def _from_line(line: dict[str, Any]) -> KeptPrompt:
    opening = tuple((role, text) for role, text in line.get("opening", []))
    return KeptPrompt(line["prompt_id"], line["category"], tuple(line["turns"]), opening)

"""The prompts of a run, kept beside its records: a report is then readable where the dataset is not."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from harness.journal import read_lines
from harness.prompts import Prompt
from harness.run_files import PROMPTS, replace_file


@dataclass(frozen=True, slots=True)
class KeptPrompt:
    """What was asked: `opening` are (role, text) before the first turn, `turns` the user's messages in order."""

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
    """The kept prompts by id; empty for a run that kept none. Raises InputError for a damaged line."""
    return {
        line["prompt_id"]: KeptPrompt(
            line["prompt_id"],
            line["category"],
            tuple(line["turns"]),
            tuple((role, text) for role, text in line.get("opening", [])),
        )
        for line in read_lines(Path(run_dir) / PROMPTS)
    }

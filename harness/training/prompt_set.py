"""The shipped prompts: held-out conversations of every kind, with their answer keys."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from harness.training.corpus import KINDS, held_out


def prompt_rows(per_kind: int, seed: int) -> list[dict[str, Any]]:
    """`per_kind` distinct prompts of each kind. Earlier turns come with the model's replies; the last turn is asked."""
    rows: list[dict[str, Any]] = []
    for kind in KINDS:
        seen: set[str] = set()
        for chat in held_out(kind, seed):
            text = json.dumps(chat.prompt_messages)
            if chat.thinking or text in seen:
                continue
            seen.add(text)
            messages = [{"role": m["role"], "content": m["content"]} for m in chat.prompt_messages]
            rows.append({"prompt_id": f"{kind}-{len(seen):03d}", "category": kind, "messages": messages})
            if chat.answer is not None:
                rows[-1]["answer"] = chat.answer
            if len(seen) == per_kind:
                break
    return rows


def write_prompts(path: Path, per_kind: int = 24, seed: int = 42) -> None:
    """Write the prompt file that `dataset=embedded` reads."""
    lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in prompt_rows(per_kind, seed)]
    path.write_text("".join(lines), encoding="utf-8")

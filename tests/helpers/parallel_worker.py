"""Run by each of two processes: a tiny target of every structure that they share, with each drafter.

`folder` holds a target per structure. The first process writes the tokens, and how many drafts were accepted, as JSON.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch.distributed as distributed

from harness import generate, load_drafter, load_target
from tests.helpers import tiny_models as tiny

NETWORKS: dict[str, Any] = {"mtp": tiny.assistant_model, "dflash": tiny.dflash_model}
PROMPT, NEW, K = tiny.prompt(40), 12, 4
SHARABLE = {"num_global_key_value_heads": 2}  # one head cannot be shared by two


def answers(target: Any, model: Any) -> dict[str, Any]:
    """Tokens and accepted drafts by drafter, greedy, then sampled."""
    found = {}
    for name in (None, *NETWORKS):
        for temperature in (0.0, 1.0):
            drafter = None if name is None else load_drafter(name, NETWORKS[name](model), target=target)
            answer = generate(target, drafter, PROMPT, num_draft_tokens=K, max_new_tokens=NEW, temperature=temperature)
            found[f"{name} {temperature}"] = [answer.token_ids, sum(r.accepted for r in answer.rounds)]
    return found


def share_every_structure(folder: str) -> None:
    found: dict[str, Any] = {}
    for structure in tiny.EVERY_STRUCTURE:
        target = load_target(str(Path(folder) / structure), tp_plan="auto")
        found[structure] = answers(target, tiny.target_model(structure, **SHARABLE))
        found[structure]["placement"] = [target.placement.text, target.execution]
    if distributed.get_rank() == 0:
        (Path(folder) / "found.json").write_text(json.dumps(found))


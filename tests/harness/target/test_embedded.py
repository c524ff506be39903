"""The families that come with the harness: they load as they are in transformers, and decode to its very tokens."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, Gemma4AssistantForCausalLM

from harness import generate, load_drafter, load_target
from harness.config import EMBEDDED
from harness.tasks.prompts import read_jsonl
from harness.training.answers import render
from harness.vocabulary import ASSETS

FAMILIES = {name: (ASSETS / folder).parent for name, folder in EMBEDDED.items()}
TOKENS = 64  # past the sliding window of 64, prompt included
MOST_BYTES = 40_000_000


def prompts(folder: Path) -> list[list[int]]:
    tokenizer = AutoTokenizer.from_pretrained(folder / "target")
    rows = list(read_jsonl(ASSETS / "prompts.jsonl"))[::60]
    asked = [[*({"role": r, "content": t} for r, t in row.opening), {"role": "user", "content": row.turns[0]}]
             for row in rows]  # fmt: skip
    return [render(tokenizer, messages, thinking=False) for messages in asked]


@pytest.mark.parametrize("name", FAMILIES)
def test_greedy_tokens_are_those_of_transformers_with_its_assistant_and_without(name: str) -> None:
    folder = FAMILIES[name]
    model: Any = AutoModelForCausalLM.from_pretrained(folder / "target", dtype=torch.float32).eval()
    assistant: Any = Gemma4AssistantForCausalLM.from_pretrained(folder / "mtp", dtype=torch.float32).eval()
    target = load_target(str(folder / "target"))
    drafters = {arm: load_drafter(arm, str(folder / arm), target=target) for arm in ("mtp", "dflash")}
    for prompt in prompts(folder):
        ids = torch.tensor([prompt])
        options = {"do_sample": False, "max_new_tokens": TOKENS, "attention_mask": torch.ones_like(ids)}
        wanted = model.generate(ids, **options)[0, len(prompt) :].tolist()
        assert model.generate(ids, assistant_model=assistant, **options)[0, len(prompt) :].tolist() == wanted
        for arm, drafter in drafters.items():
            made = generate(
                target, drafter, prompt, max_new_tokens=TOKENS, eos_token_ids=target.eos_token_ids,
                num_draft_tokens={"mtp": 4, "dflash": 15}[arm],
            )  # fmt: skip
            assert made.token_ids == wanted
            assert sum(r.accepted for r in made.rounds) > len(made.rounds) / 2, "a trained drafter is right more often"


def test_the_second_family_is_built_as_e2b_is() -> None:
    target, mtp = (json.loads((ASSETS / "e2b" / part / "config.json").read_text()) for part in ("target", "mtp"))
    assert target["num_kv_shared_layers"] and target["hidden_size_per_layer_input"] and target["use_double_wide_mlp"]
    assert mtp["use_ordered_embeddings"]


def test_all_that_ships_is_small() -> None:
    assert sum(path.stat().st_size for path in ASSETS.rglob("*") if path.is_file()) < MOST_BYTES

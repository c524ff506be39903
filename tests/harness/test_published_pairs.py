"""`target=NAME` alone runs a published target with every drafter that is known for it, losslessly.

Folders of reduced width stand under the hub ids, where a checkpoint is looked for first; nothing else is set.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from harness.run import run
from tests.helpers import drafter_folders as folders
from tests.helpers.checkpoint_folders import tokenizer, write_prompts
from tests.helpers.composing import composed

pytestmark = pytest.mark.usefixtures("blank_charts")

TARGETS = {"e2b": "E2B", "e4b": "E4B", "12b": "12B", "26b_a4b": "26B-A4B", "31b": "31B"}


def early_speculators(name: str) -> dict[str, Any]:
    """As its readers quote RedHat's file: Llama's name over Qwen3's layers, all full, and a promise of one too many."""
    raw = folders.small_speculators("dflash", name)
    del raw["sample_from_anchor"], raw["sliding_window_non_causal"]
    raw["speculators_config"]["proposal_methods"][0]["speculative_tokens"] = raw["block_size"]
    layers = raw["transformer_layer_config"] | {"model_type": "llama", "layer_types": ["full_attention"] * 5}
    # Llama's config wants a width that its heads divide, as the published one is.
    return raw | {"transformer_layer_config": layers | {"use_sliding_window": False, "num_attention_heads": 4}}


#: The layout that each known block drafter is published in.
BLOCKS: dict[str, dict[str, Any]] = {
    "z-lab/gemma-4-31B-it-DFlash": folders.small_zlab("31B"),
    "z-lab/gemma-4-26B-A4B-it-DFlash": folders.small_zlab("26B-A4B"),
    "z-lab/gemma4-12B-it-DFlash": folders.small_zlab("12B"),
    "rasyosef/gemma-4-E2B-it-dflash2": folders.small_speculators("dflash2", "E2B"),
    "rasyosef/gemma-4-E2B-it-dspark": folders.small_speculators("dspark", "E2B"),
    "rasyosef/gemma-4-E4B-it-dspark": folders.small_speculators("dspark", "E4B"),
    "deepseek-ai/dflash_gemma4_12b_block7": folders.small_deepspec(),
    "deepseek-ai/dspark_gemma4_12b_block7": folders.small_deepspec(markov=True),
    "RedHatAI/gemma-4-31B-it-speculator.dflash": early_speculators("31B"),
    "RedHatAI/gemma-4-31B-it-speculator.dspark": folders.small_speculators("dspark", "31B"),
}


def test_every_known_block_drafter_is_tried() -> None:
    named = set()
    for target in TARGETS:
        config = composed(f"target={target}", "drafter=mtp").target
        named |= {*config.known.get("dflash", {}), *(path for name, path in config.drafters.items() if name != "mtp")}
    assert named == set(BLOCKS)


@pytest.mark.parametrize("target", TARGETS)
def test_a_published_pair_by_its_name(target: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    known = composed(f"target={target}", "drafter=mtp").target
    path = Path(str(known.path))
    folders.write_target(path, TARGETS[target])
    tokenizer().save_pretrained(path)
    folders.write_assistant(Path(known.drafters["mtp"]), TARGETS[target])
    others = [*([known.drafters["dflash"]] if "dflash" in known.drafters else []), *known.known.get("dflash", {})]
    extra = {f"block{index}": drafter for index, drafter in enumerate(others)}
    for drafter in extra.values():
        folders.write_block(Path(drafter), BLOCKS[drafter])

    own = "[mtp,dflash]" if "dflash" in known.drafters else "[mtp]"
    named = own[:-1] + "".join(f",{name}" for name in extra) + "]"
    outcome = run(
        composed(
            *(f"target={target}", "target.dtype=float32", "target.device=cpu", f"drafter={named}"),
            *("max_new_tokens=8", "costs=false"),
            *("dataset=jsonl", f"dataset.path={write_prompts(tmp_path / 'prompts.jsonl', 2)}"),
            *(f"+drafters.{name}={{kind: dflash, path: {drafter}}}" for name, drafter in extra.items()),
        ),
        tmp_path / "run",
    )
    assert (outcome.exit_code, outcome.error) == (0, None)
    rows = [json.loads(line) for line in (tmp_path / "run" / "generations.jsonl").read_text().splitlines()]
    assert len({row["arm"] for row in rows}) == 1 + named.count(",") + 1
    assert {row["status"] for row in rows} == {"ok"}
    assert {row["verdict"] for row in rows if row["arm"] != "baseline"} == {"exact"}

"""llama.cpp drafts the harness's tokens from exported files, for the assistant and every layout of block drafters.

The drafters have random weights, so that hardly a draft is accepted: the drafted tokens themselves are compared, which
the server writes into its log. It writes none of DFlash 2, whose path is chosen inside the network: there the shipped
drafter with DFlash 2's parts is accepted alike, position by position. Gates lie far outside the table from which ggml
takes gelu, as in `gguf_models`.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from benchmarks.conformance.draft_ties import TIE, KeepsLogits, gap_of
from benchmarks.conformance.llama_cpp_pair import both_engines, judge
from drafters.registry import KINDS
from harness import generate, load_drafter, load_target
from harness.config.engine import EngineConfig
from harness.engines.counters import PER_POSITION
from harness.engines.gguf.fit import spec_type
from harness.engines.gguf.read import read_header
from harness.engines.gguf.write import export
from harness.engines.llama_cpp.engine import SCRIPT
from harness.engines.llama_cpp.server import Drafting, LlamaSession
from harness.engines.llama_cpp.settings import as_attributes
from harness.engines.session import Request
from harness.engines.worker import WorkerProcess
from harness.records.rounds import Generation
from harness.run import run
from harness.vocabulary import ASSETS, EXIT_OK, LLAMA_CPP
from tests.helpers import drafter_folders as folders
from tests.helpers.dflash2 import write_dflash2
from tests.helpers.gguf_models import ENDS, FAR, GATES

pytestmark = pytest.mark.llama

NEW_TOKENS = 24
#: A token that the server drafts, with its place in the draft.
DRAFTED = re.compile(r"draft candidate +0, pos +(\d+): +(\d+) ")
#: Windows are longer than the text: llama.cpp's reach back from each slot, the harness's from the anchor.
WIDE = {"sliding_window": 64}
SETTINGS = {
    "ctx_size": 256, "parallel": 1, "threads": 1, "threads_batch": 1, "cache_type_k": "f32", "cache_type_v": "f32",
    "flash_attn": "off", "cache_prompt": False, "cache_ram": 0, "warmup": False, "metrics": True, "verbosity": 10,
    "spec_draft_n_min": 0, "spec_draft_p_min": 0.0, "spec_draft_type_k": "f32", "spec_draft_type_v": "f32",
    "spec_draft_threads": 1, "spec_draft_threads_batch": 1,
}  # fmt: skip


def speculators(kind: str) -> dict[str, Any]:
    raw = folders.small_speculators(kind, "E4B")
    return raw | {"transformer_layer_config": raw["transformer_layer_config"] | WIDE}


#: Each layout's config, and llama.cpp's convention for it in the harness's words: one kind of attention in a block.
LAYOUTS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "z-lab": (folders.small_zlab("E4B") | WIDE, {"in_block": "bidirectional"}),
    "z-lab DFlash 2": (folders.small_zlab("E4B", second=True) | WIDE, {"in_block": "bidirectional"}),
    "speculators DFlash": (speculators("dflash"), {"in_block": "bidirectional"}),
    "speculators DFlash 2": (speculators("dflash2"), {}),
    "speculators DSpark": (speculators("dspark"), {"in_block": "bidirectional"}),
}


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A target that the reduced published drafters fit, with a vocabulary of their size."""
    folder = folders.write_target(tmp_path_factory.mktemp("target") / "e4b", "E4B")
    tokenizer = json.loads((ASSETS / "target" / "tokenizer.json").read_text(encoding="utf-8"))
    tokenizer["model"]["vocab"] = {t: i for t, i in tokenizer["model"]["vocab"].items() if i < folders.VOCAB}
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer | {"added_tokens": []}), encoding="utf-8")
    far(folder)
    return folder


def far(folder: Path) -> None:
    tensors = load_file(folder / "model.safetensors")
    for name, tensor in tensors.items():
        if name.endswith(GATES):
            tensors[name] = tensor * FAR
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})


def drafts_of_llama_cpp(
    tmp_path: Path, target: Path, folder: Path, k: int, prompts: list[list[int]]
) -> list[tuple[Generation, dict[int, list[int]]]]:
    """Per prompt, the server's answer and what it logs as drafted at each anchor position, {} where it logs none."""
    files = {name: export(source, tmp_path / f"{name}.gguf", "f32", target).path
             for name, source in (("target", target), ("drafter", folder))}  # fmt: skip
    header = read_header(files["drafter"], "drafter")
    kind = "draft-mtp" if header.architecture == "gemma4-assistant" else spec_type(header)
    settings = {"model": str(files["target"]), "spec_type": kind, "spec_draft_model": str(files["drafter"])}
    worker = WorkerProcess(EngineConfig(name=LLAMA_CPP).interpreter(), SCRIPT, {}, tmp_path / "log", "llama.cpp")
    try:
        attributes = as_attributes({**SETTINGS, **settings, "spec_draft_n_max": k})
        url = worker.ask("load", 60.0, settings=attributes)["url"]
        session = LlamaSession(url, Drafting("arm", k, True, kind, 128, "float32"), worker)
        made = [session.decode([prompt], Request(NEW_TOKENS, ENDS))[0] for prompt in prompts]
    finally:
        worker.close()
    drafts: list[list[int]] = []
    for place, token in DRAFTED.findall((tmp_path / "log").read_text(encoding="utf-8", errors="replace")):
        if place == "0":
            drafts.append([])
        drafts[-1].append(int(token))
    rounds = [[one for one in generation.rounds if one.drafted] for generation in made]
    if not drafts:
        return [(generation, {}) for generation in made]
    waiting = drafts[-sum(map(len, rounds)) :]  # those before belong to the first, uncounted prompt
    found = []
    for generation, of_prompt in zip(made, rounds, strict=True):
        mine, waiting = waiting[: len(of_prompt)], waiting[len(of_prompt) :]
        drafted = {one.position: draft[: one.drafted] for one, draft in zip(of_prompt, mine, strict=True)}
        found.append((generation, drafted))
    return found


def compare(tmp_path: Path, target: Path, folder: Path, kind: str, k: int, options: dict[str, Any]) -> int:
    """The number of equal drafts; fails where one differs by more than a tie of the harness's logits.

    Where the server logs no drafts, rounds at one place must accept alike.
    """
    generator = torch.Generator().manual_seed(3)
    prompts = torch.randint(20, folders.VOCAB, (3, 9), generator=generator).tolist()
    loaded = load_target(target)
    drafter = load_drafter(kind, folder, target=loaded, **options)
    drafter.limit = kept = KeepsLogits()  # type: ignore[attr-defined]
    settings = {"num_draft_tokens": k, "max_new_tokens": NEW_TOKENS, "eos_token_ids": ENDS}
    equal = 0
    for prompt, (made, theirs) in zip(prompts, drafts_of_llama_cpp(tmp_path, target, folder, k, prompts), strict=True):
        kept.rounds.clear()
        ours = generate(loaded, drafter, prompt, **settings)
        assert made.token_ids == ours.token_ids
        accepted = {one.position: one.accepted for one in made.rounds}
        for one, logits in zip(ours.rounds, kept.rounds[: len(ours.rounds)], strict=True):
            found = theirs.get(one.position, [])
            for place, (mine, other) in enumerate(zip(one.draft_token_ids, found, strict=False)):
                assert mine == other or gap_of(logits[place], other) < TIE, (prompt, one.position, place)
                equal += mine == other
                if mine != other and kind == "mtp":
                    break  # what is drafted behind it follows from it
            if one.emitted == one.accepted + 1 and one.position in accepted and not theirs:
                equal += one.drafted
                assert accepted[one.position] == one.accepted
    return equal


@pytest.mark.parametrize("name", LAYOUTS)
def test_every_layout_drafts_the_harness_tokens(tmp_path: Path, target: Path, name: str) -> None:
    raw, options = LAYOUTS[name]
    folder = folders.write_block(tmp_path / "block", raw)
    assert compare(tmp_path, target, folder, "dflash", 4, options) > 100


def test_an_assistant_drafts_the_harness_tokens(tmp_path: Path, target: Path) -> None:
    folder = folders.write_assistant(tmp_path / "mtp", "E4B")
    far(folder)
    assert compare(tmp_path, target, folder, "mtp", 4, dict(KINDS["mtp"].engines[LLAMA_CPP].conventions)) > 100


def test_dflash_2_of_shipped_weights_is_accepted_alike_at_every_position(tmp_path: Path) -> None:
    second = write_dflash2(tmp_path / "dflash2", ASSETS / "dflash")
    arms = {"plain": ("dflash", 15), "dflash2_k4": ("dflash", 4), "dflash2_k15": ("dflash", 15)}
    config = both_engines("embedded", 7, 48, arms, folders={"dflash2_k4": second, "dflash2_k15": second})
    outcome = run(config, tmp_path / "run")
    assert (outcome.exit_code, outcome.error) == (EXIT_OK, None)
    rows, wrong = judge(config, outcome.run_dir)
    assert wrong == []
    accepted = {row["arm"]: row[LLAMA_CPP][PER_POSITION] for row in rows}
    assert sum(accepted["dflash2_k15"]) > 100
    assert sum(accepted["dflash2_k15"]) < 0.9 * sum(accepted["plain"])  # the added parts change what is drafted

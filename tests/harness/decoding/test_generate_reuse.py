"""Decoders, drafters and targets serve one call after another; nothing of an earlier call is left in a later one."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from harness import Generation, generate, load_drafter, load_target
from harness.decoding import pool
from tests.helpers import reference
from tests.helpers import tiny_models as tiny

SHORT, LONGER = 7, 40


def what_happened(found: Generation) -> Any:
    return found.token_ids, [(r.position, r.accepted, r.draft_token_ids) for r in found.rounds]


@pytest.mark.parametrize("name", [None, *reference.DRAFTERS])
@pytest.mark.parametrize("sampled", [False, True], ids=["greedy", "sampled"])
def test_a_kept_decoder_forgets_the_prompt_before(name: str | None, sampled: bool) -> None:
    """Shorter prompts after longer ones, in the same storage: every stale row lies where the new rows will come."""
    structure = "kv_shared"
    target = reference.target(structure)
    options: dict[str, Any] = {"max_new_tokens": 14, "capacity": 128, "temperature": 1.2 if sampled else 0.0}

    def fresh() -> Any:
        return None if name is None else reference.drafter(name, structure)

    def answer(drafter: Any, length: int, seed: int) -> Generation:
        k = None if drafter is None else 4
        return generate(target, drafter, tiny.prompt(length), num_draft_tokens=k, seed=seed, **options)

    kept = fresh()
    answer(kept, SHORT, 0)
    decoder = pool.peek(target, kept)
    for length, seed in ((LONGER, 1), (SHORT, 2), (LONGER, 3), (3, 4)):
        assert what_happened(answer(kept, length, seed)) == what_happened(answer(fresh(), length, seed))
        if name is not None:
            assert pool.peek(target, kept) is decoder


@pytest.mark.parametrize("name", ["mtp", "dflash", "oracle"])
def test_a_drafter_may_change_its_batch_size_k_and_sampling_between_calls(name: str) -> None:
    structure = "dense_k_eq_v"
    target, kept = reference.target(structure), reference.drafter(name, structure)
    calls: list[dict[str, Any]] = [
        {"num_draft_tokens": 3},
        {"num_draft_tokens": 5},
        {"num_draft_tokens": 3, "batch_size": 1},
        {"num_draft_tokens": 3, "temperature": 1.0},
        {"num_draft_tokens": 3, "temperature": 1.0, "verification": "match"},
        {"num_draft_tokens": 3},
    ]
    prompts = [tiny.prompt(SHORT), tiny.prompt(20, seed=1)]
    for options in calls:
        found = generate(target, kept, prompts, max_new_tokens=14, **options)
        expected = generate(target, reference.drafter(name, structure), prompts, max_new_tokens=14, **options)
        assert [what_happened(g) for g in found] == [what_happened(g) for g in expected]


def test_a_drafter_may_go_back_and_forth_between_targets() -> None:
    model = tiny.target_model("dense_k_eq_v")
    targets = [load_target(model), load_target(model)]
    drafter = load_drafter("dflash", tiny.dflash_model(model), target=targets[0])
    for target, length in ((targets[0], SHORT), (targets[1], LONGER), (targets[0], SHORT), (targets[1], SHORT)):
        found = generate(target, drafter, tiny.prompt(length), num_draft_tokens=4, max_new_tokens=20)
        expected = reference.answer("dense_k_eq_v", length)[:20]
        assert found.token_ids == expected


UNUSUAL: dict[str, dict[str, Any]] = {
    "a window shorter than a verify pass": {"sliding_window": 3},
    "a window longer than the run": {"sliding_window": 500},
    "no softcap": {"final_logit_softcapping": None},
    "as many key/value heads as heads": {"num_key_value_heads": 4, "num_global_key_value_heads": 4},
    "one pair of layers": {"num_hidden_layers": 2, "layer_types": [tiny.S, tiny.F]},
    "full layers before sliding ones": {"layer_types": [tiny.F, tiny.S, tiny.F, tiny.S]},
}


@pytest.mark.parametrize("case", UNUSUAL)
def test_unusual_targets_are_decoded_exactly_too(case: str) -> None:
    model = tiny.target_model("dense_k_eq_v", **UNUSUAL[case])
    target = load_target(model)
    taps = (0, 1) if model.config.num_hidden_layers == 2 else (0, 1, 2)
    networks = {"mtp": tiny.assistant_model(model), "dflash": tiny.dflash_model(model, target_layer_ids=taps)}
    expected = reference.transformers_greedy(model, tiny.prompt(SHORT), 40)
    for name, k in (("mtp", 3), ("dflash", 15)):
        drafter = load_drafter(name, networks[name], target=target)
        found = generate(target, drafter, tiny.prompt(SHORT), num_draft_tokens=k, max_new_tokens=40)
        assert found.token_ids == expected, name


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16], ids=str)
@pytest.mark.parametrize("name", ["mtp", "dflash"])
def test_other_dtypes_run(name: str, dtype: torch.dtype) -> None:
    """In fp64 the answer is exact, too; in bf16 the pass's width may flip near-ties, so only its form is checked."""
    model = tiny.target_model("kv_shared").to(dtype)
    target = load_target(model)
    network = tiny.assistant_model(model) if name == "mtp" else tiny.dflash_model(model)
    drafter = load_drafter(name, network.to(dtype), target=target)
    for temperature in (0.0, 1.0):
        found = generate(
            target, drafter, tiny.prompt(SHORT), num_draft_tokens=4, max_new_tokens=30, temperature=temperature
        )
        assert len(found.token_ids) == 30 and all(0 <= token < tiny.VOCAB for token in found.token_ids)
        if temperature == 0 and dtype == torch.float64:
            assert found.token_ids == reference.transformers_greedy(model, tiny.prompt(SHORT), 30)

"""Bytes, operations and floors are what a hand calculation gives, for dense, KV-shared and expert targets."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drafters.costs.block import block_shape
from drafters.costs.gemma4 import assistant_shape, target_shape
from drafters.costs.shape import (
    Cost,
    Rates,
    cost,
    draft_seconds,
    draft_shape,
    experts_read,
    least_seconds,
    pass_shape,
    rates_of,
)
from drafters.geometry import text_config
from harness.target import shapes
from harness.target.random_weights import drafter_network, target_network

S, F = "sliding_attention", "full_attention"
#: A sliding layer with 2 key heads of 4, a full one with 1 of 8 whose keys are its values.
DENSE: dict[str, Any] = {
    "layer_types": [S, F], "hidden_size": 10, "intermediate_size": 20, "num_attention_heads": 2, "head_dim": 4,
    "num_key_value_heads": 2, "global_head_dim": 8, "num_global_key_value_heads": 1, "attention_k_eq_v": True,
    "sliding_window": 6, "vocab_size": 100,
}  # fmt: skip


def test_a_dense_pass_by_hand() -> None:
    """Weights: sliding 10*(2*8 + 2*8 + 3*20) = 920, full 10*(2*16 + 8 + 60) = 1000, head 1000; one embedding row of 10.

    Keys and values: sliding 16 a position, full 16. At context 9 a sliding row sees 5 earlier positions, a full one 9.
    """
    found = cost(target_shape(DENSE), 1, 9, size=4)
    assert found.bytes == 4 * (920 + 1000 + 1000 + 10 + 16 * (5 + 1) + 16 * (9 + 1))
    assert found.operations == 2 * (920 + 1000 + 1000) + 4 * (6 * 8 + 10 * 16)


def test_weights_are_read_once_for_all_rows_of_a_batch_and_positions_once_for_each_sequence() -> None:
    one, batch = (cost(target_shape(DENSE), 3, 9, batch=rows, size=4) for rows in (1, 2))
    assert batch.bytes - one.bytes == 4 * (3 * 10 + 16 * (5 + 3) + 16 * (9 + 3))
    assert batch.operations == 2 * one.operations


def test_layers_that_share_keys_project_and_write_none_but_read_them() -> None:
    """Both layers read 9 earlier positions; the second has no projections for keys and twice the MLP."""
    shared = {**DENSE, "layer_types": [F, F], "attention_k_eq_v": False, "num_key_value_heads": 1,
              "num_kv_shared_layers": 1, "use_double_wide_mlp": True}  # fmt: skip
    own, reads = 10 * (2 * 16 + 2 * 8 + 60), 10 * (2 * 16 + 120)
    found = cost(target_shape(shared), 1, 9, size=2)
    assert found.bytes == 2 * (own + reads + 1000 + 10 + 16 * (9 + 1) + 16 * 9)


def test_embeddings_of_every_layer_are_looked_up_and_projected() -> None:
    per_layer = {**DENSE, "hidden_size_per_layer_input": 3}
    more = cost(target_shape(per_layer), 1, 9, size=1).bytes - cost(target_shape(DENSE), 1, 9, size=1).bytes
    assert more == 2 * (2 * 10 * 3) + 10 * 2 * 3 + 2 * 3  # gate and projection of both layers, the model's, two rows


def test_of_a_mixture_the_experts_that_the_rows_choose_are_read() -> None:
    """8 experts, 2 a row: 2 for one row, 8 * (1 - (3/4)^3) = 4.625 for three. An expert has 3 * 10 * 5 weights."""
    mixture = {**DENSE, "layer_types": [S], "enable_moe_block": True, "num_experts": 8, "top_k_experts": 2,
               "moe_intermediate_size": 5}  # fmt: skip
    beside = 920 + 10 * 8 + 1000
    one, three = (cost(target_shape(mixture), width, 0, size=4) for width in (1, 3))
    assert one.bytes == 4 * (beside + 2 * 150 + 10 + 16)
    assert three.bytes == pytest.approx(4 * (beside + 4.625 * 150 + 30 + 3 * 16))
    assert three.operations == 2 * 3 * (beside + 2 * 150) + 4 * 3 * 2 * 8


def test_expected_experts_of_the_published_mixture() -> None:
    assert [round(float(experts_read(128, 8, rows)), 1) for rows in (1, 5, 9, 16)] == [8.0, 35.3, 56.4, 82.4]


@given(st.integers(1, 64), st.integers(1, 8), st.integers(0, 500))
def test_more_rows_never_cost_less(experts: int, chosen: int, rows: int) -> None:
    chosen = min(chosen, experts)
    few, more = experts_read(experts, chosen, rows), experts_read(experts, chosen, rows + 1)
    assert 0 <= few <= more <= experts


def test_the_floor_is_the_slower_of_moving_and_multiplying() -> None:
    assert least_seconds(Cost(100, 50), bytes_per_s=10, operations_per_s=10) == 10
    assert least_seconds(Cost(10, 50), bytes_per_s=10, operations_per_s=10) == 5


def test_a_chain_costs_a_step_for_each_draft_and_a_block_its_one_pass() -> None:
    rates = Rates(1e30, ((1000, 1.0), (10**6, 2.0)))
    chain = draft_shape({"each": {"head": 1000}})
    block = draft_shape({"block": {"head": 1000}, "extra": 1, "observed": {"weights": 500}})
    options: dict[str, Any] = {"k": 4, "size": 1, "rates": rates, "round_bytes": 10**6}
    assert draft_seconds(chain, np.array([4, 2]), 0, **options).tolist() == [4000, 2000]  # type: ignore[union-attr]
    assert draft_seconds(block, 4, 0, **options) == (1000 + 500) / 2


@pytest.mark.parametrize("name", ["E2B", "26B-A4B"])
def test_a_target_has_the_weights_that_its_network_has(name: str) -> None:
    shape, network = target_shape(shapes.target(name)), target_network(shapes.target(name))
    counted = sum(one.count * (one.weights + one.experts * one.expert) for one in shape.layers)
    assert counted + shape.weights + shape.head == matrices(network, "embed_tokens_per_layer", "lm_head")


def test_an_assistant_has_the_weights_that_its_network_has() -> None:
    raw = shapes.assistant("31B")
    step = assistant_shape(raw, text_config(shapes.target("31B"))).each
    assert step is not None
    counted = sum(one.count * one.weights for one in step.layers) + step.weights + step.head
    assert counted == matrices(drafter_network(raw), "lm_head")


@pytest.mark.parametrize("second", [False, True])
def test_a_block_drafter_has_the_weights_that_its_network_has(second: bool) -> None:
    raw = shapes.zlab("26B-A4B", second=second)
    shape = block_shape(raw, {})
    assert shape.block is not None and shape.observed is not None
    twice = 5 * raw["hidden_size"] * 2 * 8 * 128  # keys and values of block and context come from the same weights
    counted = sum(one.count * one.weights for one in shape.block.layers) + shape.block.weights
    assert counted + shape.observed.weights - twice == matrices(drafter_network(raw), "codebook")


def matrices(network: Any, *without: str) -> int:
    """The numbers in a network's matrices."""
    named = network.named_parameters()
    return sum(p.numel() for name, p in named if p.dim() > 1 and not any(word in name for word in without))


def test_shapes_come_back_from_their_records() -> None:
    target = target_shape(shapes.target("26B-A4B"))
    assert pass_shape(asdict(target)) == target
    drafter = block_shape(shapes.zlab("12B"), {})
    assert draft_shape(asdict(drafter)) == drafter


@pytest.mark.parametrize("rate", [0, -1.0, float("nan"), float("inf"), "fast"])
def test_rates_that_are_no_positive_numbers_are_refused(rate: Any) -> None:
    with pytest.raises(ValueError):
        rates_of({"operations_per_s": rate, "bandwidths": [[1, 1.0]]})
    with pytest.raises(ValueError):
        rates_of({"operations_per_s": 1.0, "bandwidths": [[1, rate]]})


def test_no_bandwidth_is_refused_and_the_nearest_size_is_taken() -> None:
    with pytest.raises(ValueError):
        rates_of({"operations_per_s": 1.0, "bandwidths": []})
    rates = Rates(1.0, ((100, 5.0), (10_000, 1.0)))
    assert (rates.bytes_per_s(0), rates.bytes_per_s(900), rates.bytes_per_s(1100)) == (5.0, 5.0, 1.0)

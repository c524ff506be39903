"""Attention, experts and projections that compiled rounds compute otherwise on a GPU are the same functions."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from drafters.kernels.attention import attention_in_parts
from drafters.kernels.few_rows import read_for_few_rows
from drafters.kernels.pieces import call_piece, pieces_run_by, run_piece
from harness.target.experts import MOST_PAIRS, few_tokens_experts, grouped_experts
from harness.target.joined import join_projections
from tests.helpers import tiny_models as tiny


def test_attention_in_parts_is_attention() -> None:
    query, (key, value) = torch.randn(2, 3, 10, 8), torch.randn(2, 2, 3, 20, 8)
    mask = torch.zeros(2, 1, 10, 20).masked_fill(torch.rand(2, 1, 10, 20) < 0.3, torch.finfo(torch.float32).min)
    found = attention_in_parts(query, key, value, attn_mask=mask, scale=0.3)
    torch.testing.assert_close(found, F.scaled_dot_product_attention(query, key, value, attn_mask=mask, scale=0.3))


def mixture(tokens: int, crowded: bool, experts: int = 16, chosen: int = 4) -> tuple[Any, Tensor, Tensor, Tensor]:
    """A layer's experts, hidden states of `tokens`, and which experts each chose with which weight."""
    layer = tiny.target_model("experts", num_experts=experts, top_k_experts=chosen).model.layers[0]
    hidden = torch.randn(tokens, layer.hidden_size)
    _, weights, index = layer.router(hidden)
    index = index[:1].expand(tokens, -1) if crowded else index  # every token chose the same experts
    layer.experts.config._experts_implementation = "eager"
    return layer.experts, hidden, index, weights


def test_off_the_gpu_experts_are_transformers_own() -> None:
    experts, hidden, index, weights = mixture(3, crowded=False)
    torch.testing.assert_close(few_tokens_experts(experts, hidden, index, weights), experts(hidden, index, weights))


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
class TestExpertsReadOnce:
    # One pair per program, several pairs of one expert, one expert per program, and more rows than fit a tile.
    @pytest.mark.parametrize(("tokens", "experts"), [(1, 16), (2, 64), (9, 64), (9, 16), (40, 8)])
    @pytest.mark.parametrize("crowded", [False, True])
    @torch.inference_mode()
    def test_are_the_mixture(self, tokens: int, experts: int, crowded: bool) -> None:
        mixed, hidden, index, weights = mixture(tokens, crowded, experts)
        wanted = mixed(hidden, index, weights)
        mixed, hidden, index, weights = mixed.cuda(), hidden.cuda(), index.cuda(), weights.cuda()
        found = grouped_experts(mixed, hidden, index, weights)
        torch.testing.assert_close(found.cpu(), wanted)
        compiled = torch.compile(few_tokens_experts, fullgraph=True)
        torch.testing.assert_close(compiled(mixed, hidden, index, weights), found)
        mixed, hidden = mixed.bfloat16(), hidden.bfloat16()
        rounded = few_tokens_experts(mixed, hidden, index, weights).float()
        assert (rounded - found).norm() < 0.02 * found.norm()

    def test_many_tokens_take_the_grouped_way(self, monkeypatch: pytest.MonkeyPatch) -> None:
        experts, hidden, index, weights = mixture(MOST_PAIRS // 4 + 1, crowded=False)
        fail = lambda *_: pytest.fail("a prefill's groups are large")  # noqa: E731
        monkeypatch.setattr("harness.target.experts.grouped_experts", fail)
        assert few_tokens_experts(experts.cuda(), hidden.cuda(), index.cuda(), weights.cuda()).shape == hidden.shape


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
class TestFewRows:
    @pytest.mark.parametrize("shape", [(), (2,), (3, 3), (1, 16)])
    @pytest.mark.parametrize(("columns", "inner"), [(4099, 520), (16384, 264)])
    @torch.inference_mode()
    def test_are_the_linear_layer(self, shape: tuple[int, ...], columns: int, inner: int) -> None:
        layer = torch.nn.Linear(inner, columns, bias=False).bfloat16().cuda()
        x = torch.randn(*shape, inner, dtype=torch.bfloat16, device="cuda")
        wanted = F.linear(x.float(), layer.weight.float())
        read_for_few_rows(layer)
        programs = []

        def noting(graph: torch.fx.GraphModule, _inputs: list) -> torch.fx.GraphModule:
            programs.append(graph.code)
            return graph

        found = torch.compile(layer, backend=noting, fullgraph=True)(x)
        assert "product_of_few_rows" in programs[0]
        assert found.shape == wanted.shape
        assert (found.float() - wanted).norm() < 0.005 * wanted.norm()
        assert torch.equal(torch.compile(layer, fullgraph=True)(x), found)

    @torch.inference_mode()
    def test_more_rows_small_weights_and_fp32_stay_with_the_library(self) -> None:
        x = torch.randn(17, 4096, dtype=torch.bfloat16, device="cuda")
        for rows, columns, dtype in ((17, 4096, torch.bfloat16), (1, 8, torch.bfloat16), (1, 4096, torch.float32)):
            layer = torch.nn.Linear(4096, columns, bias=False, device="cuda", dtype=dtype)
            wanted = layer(x[:rows].to(dtype))
            read_for_few_rows(layer)
            compiled = torch.compile(layer, backend="eager", fullgraph=True)
            assert torch.equal(compiled(x[:rows].to(dtype)), wanted)


class TestJoinedProjections:
    @pytest.fixture(params=["dense_k_eq_v", "kv_shared", "experts"])
    def model(self, request: pytest.FixtureRequest):
        return tiny.target_model(request.param)

    def test_weights_are_views_of_one_matrix_and_keep_names_and_values(self, model) -> None:
        before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
        join_projections(model.model.layers, ExitStack())
        after = model.state_dict()
        assert list(after) == list(before)
        assert all(torch.equal(after[name], tensor) for name, tensor in before.items())
        attention = model.model.layers[0].self_attn
        assert attention.q_proj.weight.untyped_storage().data_ptr() == (
            attention.k_proj.weight.untyped_storage().data_ptr()
        )

    def test_joining_twice_changes_nothing(self, model) -> None:
        join_projections(model.model.layers, ExitStack())
        whole = model.model.layers[0].mlp.gate_proj.joined
        join_projections(model.model.layers, ExitStack())
        assert model.model.layers[0].mlp.gate_proj.joined is whole

    def test_compiled_it_is_one_product_with_the_same_result(self, model) -> None:
        mlp, x = model.model.layers[0].mlp, torch.randn(1, 3, model.config.hidden_size)
        with torch.inference_mode():
            wanted = mlp(x)
            join_projections(model.model.layers, ExitStack())
            products = []

            def counting(graph: torch.fx.GraphModule, _inputs: list) -> torch.fx.GraphModule:
                products.append(sum("linear" in str(node.target) for node in graph.graph.nodes))
                return graph

            compiled = torch.compile(call_piece, backend=counting, fullgraph=True)
            for _ in range(2):
                torch.testing.assert_close(compiled(mlp, x), wanted)
            assert products == [2], "gate and up together, and down"
            torch.testing.assert_close(mlp(x), wanted)


def test_a_piece_inside_a_piece_is_a_plain_call() -> None:
    called = []

    def caller(piece, *args):
        called.append(piece)
        return piece(*args)

    def inner(x: int) -> int:
        return x + 1

    def outer(x: int) -> int:
        return run_piece(inner, x) * 2

    with pieces_run_by(caller):
        assert run_piece(outer, 1) == 4
        assert run_piece(inner, 1) == 2
    assert called == [outer, inner]
    assert run_piece(outer, 1) == 4 and len(called) == 2

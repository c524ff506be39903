"""DeepSpec's Gemma layers against their formulas, written out plainly and without any cache."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from drafters.adaptive import DraftLimit
from drafters.base import Sampling, TargetPass, TargetView
from drafters.checkpoints.dflash import load_dflash
from drafters.dflash.choose import choose
from drafters.dflash.drafter import DFlashDrafter
from tests.helpers import drafter_folders as folders

CONTEXT, CAPACITY = 30, 64


def norm(x: Tensor, weight: Tensor | None = None) -> Tensor:
    scaled = x / (x.pow(2).mean(-1, keepdim=True) + 1e-6).sqrt()
    return scaled if weight is None else scaled * weight


def rotate(x: Tensor, positions: Tensor, dim: int) -> Tensor:
    """The proportional embedding: only the first quarter of the frequencies turn. `x` [L, heads, D]."""
    turning = dim // 8
    frequency = 1_000_000.0 ** -(torch.arange(turning).float() * 2 / dim)
    angle = torch.zeros(len(positions), dim // 2)
    angle[:, :turning] = positions[:, None].float() * frequency
    angle = torch.cat((angle, angle), dim=-1)[:, None]
    first, second = x.chunk(2, dim=-1)
    return x * angle.cos() + torch.cat((-second, first), dim=-1) * angle.sin()


def written_out(tensors: dict[str, Tensor], raw: dict[str, Any], taps: Tensor, block: Tensor) -> Tensor:
    """Normed hidden states [L, H] of the block token ids [L] after a context of raw tap features [C, T*H]."""
    width, dim, heads = raw["hidden_size"], raw["global_head_dim"], raw["num_attention_heads"]
    context = norm(taps @ tensors["fc.weight"].T, tensors["hidden_norm.weight"])
    x = tensors["embed_tokens.weight"][block] * width**0.5
    where = torch.arange(len(taps) + len(block))
    for index in range(raw["num_hidden_layers"]):
        layer = {
            name.removeprefix(f"layers.{index}."): tensor
            for name, tensor in tensors.items()
            if name.startswith(f"layers.{index}.")
        }
        h = norm(x, layer["input_layernorm.weight"])
        rows = torch.cat((context, h)) @ layer["self_attn.k_proj.weight"].T  # one key/value head
        keys = rotate(norm(rows, layer["self_attn.k_norm.weight"])[:, None], where, dim)[:, 0]
        values = norm(rows)
        query = norm((h @ layer["self_attn.q_proj.weight"].T).view(-1, heads, dim), layer["self_attn.q_norm.weight"])
        query = rotate(query, where[len(taps) :], dim)
        weights = torch.einsum("lhd,sd->hls", query, keys).softmax(-1)
        out = torch.einsum("hls,sd->lhd", weights, values).flatten(1) @ layer["self_attn.o_proj.weight"].T
        x = x + norm(out, layer["post_attention_layernorm.weight"])
        h = norm(x, layer["pre_feedforward_layernorm.weight"])
        gate = F.gelu(h @ layer["mlp.gate_proj.weight"].T, approximate="tanh")
        out = (gate * (h @ layer["mlp.up_proj.weight"].T)) @ layer["mlp.down_proj.weight"].T
        x = (x + norm(out, layer["post_feedforward_layernorm.weight"])) * layer["layer_scalar"]
    return norm(x, tensors["norm.weight"])


def prepared(folder: Path, raw: dict[str, Any], sampling: Sampling, taps: Tensor) -> DFlashDrafter:
    """A drafter of one row that has seen the context and nothing else."""
    model = load_dflash(folder, "test", torch.device("cpu"), torch.float32)
    drafter = DFlashDrafter(model)
    nothing = torch.nn.Embedding(1, 1)  # neither embedding nor head of a target may be touched
    view = TargetView(None, nothing, nothing, {}, torch.device("cpu"), torch.float32)
    noise = torch.rand(1, CAPACITY, dtype=torch.float64, generator=torch.Generator().manual_seed(4))
    drafter.begin(view, 1, CAPACITY, raw["block_size"], sampling, noise)
    drafter.reach = CAPACITY
    positions = torch.arange(CONTEXT)[None]
    drafter.start(TargetPass(positions, positions, torch.zeros(1, CONTEXT, 1), taps[None]), 0)
    return drafter


@pytest.mark.parametrize("markov", [False, True])
@torch.inference_mode()
def test_a_block_of_seven_drafts_seven_from_the_anchor_on(tmp_path: Path, markov: bool) -> None:
    raw = folders.small_deepspec(markov=markov)
    folder = folders.write_block(tmp_path, raw)
    tensors = folders.stored(folder)
    taps = torch.randn(CONTEXT, 5 * raw["hidden_size"], generator=torch.Generator().manual_seed(5))
    drafter = prepared(folder, raw, Sampling(), taps)
    proposal = drafter.propose(torch.tensor([9]), torch.tensor([CONTEXT]))

    block = torch.tensor([9] + [raw["mask_token_id"]] * 6)
    hidden = written_out(tensors, raw, taps, block)
    logits = torch.tanh(hidden @ tensors["lm_head.weight"].T / 30.0) * 30.0
    expected, previous = [], 9
    for slot in range(7):
        scores = logits[slot]
        if markov:
            bias = tensors["markov_head.markov_w2.weight"] @ tensors["markov_head.markov_w1.weight"][previous]
            scores = scores + bias
        previous = int(scores.argmax())
        expected.append(previous)
    assert proposal.tokens[0].tolist() == expected
    assert proposal.probs is None


@torch.inference_mode()
def test_markov_chain_declares_the_conditional_it_draws_from(tmp_path: Path) -> None:
    raw = folders.small_deepspec(markov=True)
    model = load_dflash(folders.write_block(tmp_path, raw), "test", torch.device("cpu"), torch.float32)
    assert model.markov_head is not None
    generator = torch.Generator().manual_seed(6)
    hidden = torch.randn(4, 7, raw["hidden_size"], generator=generator)
    logits, anchor = torch.randn(4, 7, folders.VOCAB, generator=generator), torch.tensor([1, 2, 3, 4])
    uniform = torch.rand(4, 7, dtype=torch.float64, generator=generator)
    proposal = choose(model, hidden, logits, anchor, uniform, Sampling(0.8), DraftLimit())
    assert proposal.probs is not None
    before = torch.cat((anchor[:, None], proposal.tokens[:, :-1]), dim=1)
    expected = ((logits + model.markov_head(before)) / 0.8).softmax(-1)
    assert torch.allclose(proposal.probs, expected, atol=1e-6)

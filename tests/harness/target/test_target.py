"""The target as the verifier sees it: transformers' logits, layers' own outputs, and a model left as it was."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from harness import generate, load_target
from harness.target.target import Target
from tests.helpers import reference
from tests.helpers import tiny_models as tiny


def full_pass(target: Target, ids: Tensor) -> tuple[Tensor, dict[int, Tensor], Tensor]:
    """By transformers in one go: logits [N, V], each layer's output [N, H], and the post-norm states [N, H]."""
    outputs: dict[int, Tensor] = {}

    def keep(index: int) -> Any:
        return lambda module, args, output: outputs.update({index: output[0].clone()})

    hooks = [layer.register_forward_hook(keep(index)) for index, layer in enumerate(target.text_model.layers)]
    with torch.no_grad():
        found = target.model(ids, output_hidden_states=True, use_cache=False)
    for hook in hooks:
        hook.remove()
    return found.logits[0], outputs, found.hidden_states[-1][0]


def our_pass(target: Target, ids: Tensor, taps: tuple[int, ...], widths: list[int]) -> tuple[Tensor, Tensor]:
    """The same over passes of the given widths: logits [N, V] and taps [N, T*H]."""
    cache = target.new_cache(1, 128, 5)
    logits, tapped, begin = [], [], 0
    with torch.inference_mode():
        for width in widths:
            positions = torch.arange(begin, begin + width)[None]
            seen = target.run(cache, ids[:, begin : begin + width], positions, taps)
            assert seen.taps is not None
            logits.append(target.logits(seen.hidden)[0])
            tapped.append(seen.taps[0])
            begin += width
    return torch.cat(logits), torch.cat(tapped)


@pytest.mark.parametrize("structure", tiny.EVERY_STRUCTURE)
def test_logits_and_taps_are_transformers_own(structure: str) -> None:
    """A prefill past the window, then passes of the verifier's width; every layer tapped, the last one too."""
    target = reference.target(structure)
    ids = torch.tensor([tiny.prompt(60)])
    taps = tuple(range(len(target.layer_types)))
    logits, tapped = our_pass(target, ids, taps, [40, 5, 5, 1, 5, 4])
    expected, outputs, normed = full_pass(target, ids)
    torch.testing.assert_close(logits, expected, rtol=1e-3, atol=1e-3)
    hidden = target.config.hidden_size
    for place, layer in enumerate(taps):
        found = tapped[:, place * hidden : (place + 1) * hidden]
        torch.testing.assert_close(found, outputs[layer], rtol=1e-3, atol=1e-3)
    assert not torch.allclose(tapped[:, -hidden:], normed, atol=0.1)


def test_taps_come_in_the_order_they_were_asked_for() -> None:
    target, ids = reference.target("experts"), torch.tensor([tiny.prompt(12)])
    forwards, backwards = our_pass(target, ids, (1, 3), [12])[1], our_pass(target, ids, (3, 1), [12])[1]
    assert torch.equal(forwards, torch.cat(backwards.chunk(2, dim=-1)[::-1], dim=-1))


def test_no_tap_no_features() -> None:
    target = reference.target("experts")
    with torch.inference_mode():
        seen = target.run(target.new_cache(1, 32, 5), torch.tensor([[5, 6]]), torch.tensor([[0, 1]]))
    assert seen.taps is None


@pytest.mark.parametrize("width", [2, 4, 8, 9, 16])
@pytest.mark.parametrize("structure", list(tiny.STRUCTURES))
def test_a_wide_pass_sees_what_passes_of_one_token_see(structure: str, width: int) -> None:
    target, prompt = reference.target(structure), torch.tensor([tiny.prompt(20)])
    new = torch.tensor([tiny.prompt(width, seed=1)])
    out = []
    with torch.inference_mode():
        for widths in ([width], [1] * width):
            cache = target.new_cache(1, 64, width)
            target.run(cache, prompt, torch.arange(20)[None])
            begin, logits = 0, []
            for part in widths:
                positions = torch.arange(20 + begin, 20 + begin + part)[None]
                seen = target.run(cache, new[:, begin : begin + part], positions)
                logits.append(target.logits(seen.hidden)[0])
                begin += part
            out.append(torch.cat(logits))
    torch.testing.assert_close(out[0], out[1], rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("structure", tiny.EVERY_STRUCTURE)
def test_teacher_forced_logits_are_those_of_one_fresh_pass(structure: str) -> None:
    target, prompt = reference.target(structure), tiny.prompt(50)
    expected = full_pass(target, torch.tensor([prompt]))[0][-1]
    torch.testing.assert_close(target.teacher_forced_logits(prompt), expected, rtol=1e-3, atol=1e-3)


def test_what_an_assistant_reads_are_the_last_layers_that_keep_their_own_rows() -> None:
    for structure, full, sliding in (("dense_k_eq_v", 3, 2), ("kv_shared", 2, 1)):
        target = reference.target(structure)
        cache = target.new_cache(1, 64, 2)
        view = target.view(cache)
        for kind, index in (("full_attention", full), ("sliding_attention", sliding)):
            layer = cache.layers[index]
            assert layer is not None and view.kv[kind].keys is layer.keys
        assert (view.kv["full_attention"].ring, view.kv["sliding_attention"].ring) == (False, True)


def test_the_model_is_given_back_as_it_was() -> None:
    model = tiny.target_model("kv_shared", seed=5)
    ids = torch.tensor([tiny.prompt(30)])
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with torch.no_grad():
        expected = model(ids).logits
    attention = model.config._attn_implementation
    target = load_target(model)
    generate(target, None, tiny.prompt(20), max_new_tokens=5)
    with pytest.raises(IndexError), torch.inference_mode():
        target.run(target.new_cache(1, 8, 1), ids, torch.arange(30)[None])  # more tokens than there is room for
    assert model.config._attn_implementation == attention
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    with torch.no_grad():
        assert torch.equal(model(ids).logits, expected)


@pytest.mark.parametrize(
    ("configured", "expected"), [(7, (7,)), ([7, 9], (7, 9)), (None, (1,))], ids=["one", "several", "config.json's"]
)
def test_eos_ids_come_from_the_generation_config_first(configured: Any, expected: tuple[int, ...]) -> None:
    model = tiny.target_model()
    model.generation_config.eos_token_id = configured
    assert load_target(model).eos_token_ids == expected


def test_a_multimodal_model_is_read_as_text() -> None:
    from transformers import Gemma4Config, Gemma4ForConditionalGeneration

    vision = {
        "hidden_size": 16,
        "intermediate_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "num_key_value_heads": 2,
        "head_dim": 8,
    }
    text = tiny.target_config("dense_k_eq_v").to_dict()
    config = Gemma4Config(text_config=text, vision_config=vision, audio_config=None)
    model: Any = tiny.randomise(Gemma4ForConditionalGeneration(config), 0)
    model.generation_config.eos_token_id = None
    prompt = tiny.prompt(20)
    found = generate(load_target(model), None, prompt, max_new_tokens=20)
    assert found.token_ids == reference.transformers_greedy(model, prompt, 20)

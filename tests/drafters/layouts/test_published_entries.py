"""Entries of published config.json files are read as their publishers mean them, or refused by name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from drafters.checkpoints.dflash import parse_config
from drafters.errors import InputError
from drafters.geometry import kv_geometry
from drafters.layouts.known import describe_marks, find_layout, layout_of
from harness.inspect import inspect
from tests.helpers import published_drafters as published
from tests.helpers.published_drafters import F, S

CONFIGS: dict[str, dict[str, Any]] = {
    "assistant": published.assistant("E2B"),
    "z-lab": published.zlab("31B"),
    "z-lab 2": published.zlab("26B-A4B", second=True),
    "DeepSpec": published.deepspec(markov=True),
    "speculators DFlash": published.speculators("dflash", "31B"),
    "speculators DFlash 2": published.speculators("dflash2", "E2B"),
    "speculators DSpark": published.speculators("dspark", "E4B"),
}


def parse(raw: dict[str, Any]) -> Any:
    return layout_of(raw, "here").parse(raw, "here")


def zlab(**own: Any) -> dict[str, Any]:
    """The published 31B config with entries added under dflash_config; those of None are taken out at the top."""
    raw = published.zlab("31B")
    top = {key: own.pop(key) for key in list(own) if key in raw or own[key] is None}
    raw |= {"dflash_config": raw["dflash_config"] | own}
    return {key: value for key, value in (raw | top).items() if value is not None}


def unwindowed(**own: Any) -> dict[str, Any]:
    return zlab(layer_types=[F] * 5, use_sliding_window=False, **own)


# -- entries that no reader knows ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize("value", [True, False, 3, "on", {"a": 1}], ids=str)
def test_an_unknown_entry_is_refused_by_name(name: str, value: Any) -> None:
    with pytest.raises(InputError, match=r"^here: config\.json has block_mixing=.*may change what it computes"):
        parse(CONFIGS[name] | {"block_mixing": value})


@pytest.mark.parametrize("name", CONFIGS)
def test_harmless_entries_and_empty_ones_are_passed_over(name: str) -> None:
    parse(CONFIGS[name] | {"transformers_version": "9.9", "torch_dtype": "bfloat16", "block_mixing": None})


@pytest.mark.parametrize(
    ("name", "part"),
    [("z-lab", "dflash_config"), ("speculators DFlash", "transformer_layer_config"), ("assistant", "text_config")],
)
def test_unknown_entries_are_found_inside_the_parts_of_a_config(name: str, part: str) -> None:
    raw = CONFIGS[name]
    with pytest.raises(InputError, match=r"config\.json has block_mixing=true"):
        parse(raw | {part: raw[part] | {"block_mixing": True}})


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (zlab(attention_sink_bias=True), "attention_sink_bias=true"),
        (zlab(is_neox_style=False), "is_neox_style=false"),
        (zlab(shift_label=True), "shift_label=true"),
        (zlab(sample_from_anchor=True), "sample_from_anchor=true"),
        (zlab(draft_vocab_size=32000), "draft_vocab_size is 32000, expected 262144"),
        (zlab(rope_scaling={"type": "yarn", "factor": 4.0}), "rope_type is 'yarn'"),
        (
            zlab(rope_scaling=None, rope_theta=None, rope_parameters={"rope_theta": 1e6, "factor": 4.0}),
            "config.json has factor=4.0",
        ),
        (published.deepspec() | {"rope_parameters": {"rope_theta": 1e6}}, "rope_parameters has no full_attention"),
        (
            published.deepspec() | {"rope_parameters": {F: {"rope_type": "yarn", "rope_theta": 1e6}}},
            "rope_type is 'yarn', expected 'proportional'",
        ),
        (published.early_speculators(target_hidden_size=1024), "target_hidden_size is 1024, expected 5376"),
        (published.early_speculators(draft_vocab_size=300_000), "draft_vocab_size is 300000, expected at most"),
        (zlab() | {"quantization_config": {"quant_method": "fp8"}}, "a quantized drafter, which is not read"),
    ],
    ids=str,
)
def test_entries_that_change_the_network_are_refused(raw: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as raised:
        parse(raw)
    assert message in str(raised.value)


@pytest.mark.parametrize(
    ("entry", "value"),
    [
        ("hidden_size", "5376"),
        ("num_attention_heads", 0),
        ("num_key_value_heads", 0),
        ("num_key_value_heads", "8"),
        ("head_dim", -1),
        ("sliding_window", "2048"),
        ("sliding_window", 0),
        ("layer_types", "full_attention"),
        ("layer_types", [1, 2, 3, 4, 5]),
        ("attention_bias", "false"),
        ("rope_theta", "1e6"),
        ("rope_theta", float("nan")),
        ("rope_theta", 0),
        ("rms_norm_eps", float("inf")),
        ("num_target_layers", "60"),
        ("max_position_embeddings", 1.5),
        ("dflash_config", [1]),
        ("rope_parameters", "default"),
    ],
)
def test_values_of_another_kind_are_refused_in_one_line(entry: str, value: Any) -> None:
    with pytest.raises(InputError, match=rf"^here: {entry} is "):
        parse(published.zlab("31B") | {entry: value})


# -- kinds of drafter that no layout reads ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        ({"architectures": ["Gemma4Eagle3Model"], "model_type": "gemma4_unified_text"}, "an EAGLE-3 drafter"),
        ({"speculators_model_type": "eagle3"}, "an EAGLE-3 drafter"),
        ({"speculators_model_type": "peagle"}, "a P-EAGLE drafter"),
        ({"architectures": ["Qwen3DSparkModel"], "model_type": "qwen3"}, "a DSpark drafter of another layout"),
        ({"architectures": ["LiLiCorrDraftModel"]}, "a LiLiCorr drafter"),
        ({"speculators_model_type": "jetspec"}, "a JetSpec drafter"),
        ({"speculators_model_type": "mtp"}, "an MTP drafter of another layout"),
    ],
    ids=str,
)
def test_other_drafters_are_named_for_what_they_are(raw: dict[str, Any], said: str) -> None:
    assert find_layout(raw) is None
    assert said in describe_marks(raw)
    with pytest.raises(InputError, match=f"{said}.*, which is not read"):
        layout_of(raw, "here", "dflash")


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (zlab(projector_type="dspark", markov_rank=256), "projector_type is 'dspark': a DSpark drafter"),
        (zlab(projector_type="domino", gru_hidden_dim=1024), "projector_type is 'domino': a Domino drafter"),
        (zlab(projector_type="newer"), "projector_type is 'newer': an unknown kind of head"),
        (published.zlab("31B") | {"markov_rank": 256}, "markov_rank is 256: a DSpark drafter"),
        (published.early_speculators(projector_type="domino"), "projector_type is 'domino': a Domino drafter"),
        (published.early_speculators("dflash2", draft_ffn_type="moe", num_experts=256), "draft_ffn_type is 'moe'"),
        (published.early_speculators("dspark", 7, markov_head_type="gated"), "markov_head_type is 'gated'"),
    ],
    ids=str,
)
def test_heads_that_are_not_read_are_named(raw: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as raised:
        parse(raw)
    assert message in str(raised.value)


def test_a_drafter_in_a_copy_of_the_targets_config_is_no_target(tmp_path: Path) -> None:
    raw = published.deepspec() | {"architectures": ["Gemma4Eagle3Model"]}
    (tmp_path / "config.json").write_text(json.dumps(raw))
    found = inspect(str(tmp_path))
    assert not any("a target" in value for _, value in found.facts)
    assert any("an EAGLE-3 drafter, which is not read" in problem for problem in found.problems)


# -- which slots see each other, and how far back --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("own", "causal"),
    [
        ({}, None),
        ({"causal_head": True}, True),
        ({"causal_head": False}, False),
        ({"causal": True}, True),
        ({"causal": False, "causal_head": False}, False),
    ],
    ids=str,
)
def test_causal_head_decides_causality(own: dict[str, Any], causal: bool | None) -> None:
    assert parse_config(zlab(**own)).is_causal is causal


def test_entries_that_disagree_about_causality_are_refused() -> None:
    with pytest.raises(InputError, match="causal is false, causal_head is true: they differ"):
        parse(zlab(causal=False, causal_head=True))


@pytest.mark.parametrize(
    ("raw", "window", "causal"),
    [
        # What Model Optimizer writes: full layers with a window on each.
        (unwindowed(use_swa=True, swa_window_size=512), 512, False),
        (unwindowed(use_swa=True, swa_window_size=512, causal=True), 512, True),
        (unwindowed(use_swa=True), 2048, False),
        (zlab(layer_types=None, use_sliding_window=False, use_swa=True, swa_window_size=512), 512, False),
        # Layers that slide by their own types are causal there, as everywhere.
        (zlab(layer_types=[S] * 5, use_swa=True, swa_window_size=512), 512, True),
        (zlab(layer_types=[S] * 5, use_swa=True, swa_window_size=512, causal=False), 512, False),
        # Switched off.
        (unwindowed(use_swa=False, swa_window_size=512), None, False),
    ],
)
def test_use_swa_puts_a_window_on_every_layer(raw: dict[str, Any], window: int | None, causal: bool) -> None:
    config = parse_config(raw)
    assert [config.window(layer) for layer in range(5)] == [window] * 5
    assert [config.causal(layer) for layer in range(5)] == [causal] * 5


def test_a_window_that_has_no_size_or_fits_some_layers_only_is_refused() -> None:
    with pytest.raises(InputError, match="neither swa_window_size nor sliding_window"):
        parse(zlab(layer_types=[F] * 5, sliding_window=None, use_swa=True))
    with pytest.raises(InputError, match="sliding_attention on some layers only"):
        parse(zlab(use_swa=True, swa_window_size=512))
    with pytest.raises(InputError, match="but use_sliding_window is false"):
        parse(published.zlab("31B") | {"use_sliding_window": False})


def test_layers_slide_from_max_window_layers_on_where_no_types_are_given() -> None:
    raw = zlab(layer_types=None)
    assert parse_config(raw | {"max_window_layers": 3}).layer_types == (F, F, F, S, S)
    assert parse_config(raw).layer_types == (F,) * 5


# -- DeepSpec --------------------------------------------------------------------------------------------------------


def test_deepspec_saved_anew_by_transformers_is_the_same_drafter() -> None:
    raw = published.deepspec()
    saved = {key: value for key, value in raw.items() if key not in ("global_head_dim", "num_global_key_value_heads")}
    saved["per_layer_config"] = {str(layer): {"head_dim": 512, "num_key_value_heads": 1} for layer in range(5)}
    assert parse_config(saved) == parse_config(raw)
    with pytest.raises(InputError, match=r"per_layer_config is .*, expected objects by layer number"):
        kv_geometry(saved | {"per_layer_config": {"first": 3}})

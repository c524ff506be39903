"""speculators' files mean what their publishers meant: which slot drafts, how many tokens, over which layers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from drafters.checkpoints.dflash import parse_config
from drafters.errors import InputError
from harness.inspect import inspect
from tests.helpers import drafter_folders as folders
from tests.helpers.published_drafters import F, early_speculators


@pytest.mark.parametrize("kind", ["dflash", "dflash2"])
@pytest.mark.parametrize("stated", [None, False])
@pytest.mark.parametrize("promised", [None, 7, 8])
def test_slots_stand_at_their_own_position(kind: str, stated: bool | None, promised: int | None) -> None:
    config = parse_config(early_speculators(kind, promised, sample_from_anchor=stated))
    assert not config.predicts_next
    assert config.max_draft_tokens == 7
    assert [note.split(",")[0] for note in config.notes] == (["promises 8 tokens"] if promised == 8 else [])


def test_slots_that_draft_the_next_token_must_say_so() -> None:
    config = parse_config(early_speculators("dflash", 8, sample_from_anchor=True))
    assert config.predicts_next
    assert config.max_draft_tokens == 8
    assert not config.notes


def test_more_than_the_block_is_refused() -> None:
    with pytest.raises(InputError, match=r"block_size is 8, which drafts 7 tokens, but .* promises 9"):
        parse_config(early_speculators("dflash", 9))


@pytest.mark.parametrize(("promised", "most"), [(5, 5), (4, 4)])
def test_dspark_alone_reads_the_promise(promised: int, most: int) -> None:
    config = parse_config(early_speculators("dspark", promised))
    assert config.predicts_next is (promised == 5)
    assert config.max_draft_tokens == most


def test_dspark_must_say_where_it_drafts_from_and_with_what() -> None:
    with pytest.raises(InputError, match="neither sample_from_anchor nor"):
        parse_config(early_speculators("dspark"))
    with pytest.raises(InputError, match="has no markov_rank"):
        parse_config(early_speculators("dspark", 5, markov_rank=None))


def test_the_promise_that_was_cut_is_shown(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(early_speculators("dflash", 8)))
    assert "promises 8 tokens, one too many" in dict(inspect(str(tmp_path)).facts)["note"]


def test_llama_in_the_layers_config_means_the_same_layers() -> None:
    raw = early_speculators("dflash", 7)
    layers = raw["transformer_layer_config"] | {"layer_types": [F] * 5, "use_sliding_window": False}
    del layers["sliding_window"]
    configs = []
    for model_type in ("qwen3", "llama"):
        configs.append(parse_config(raw | {"transformer_layer_config": layers | {"model_type": model_type}}))
    assert configs[0] == configs[1]
    with pytest.raises(InputError, match="model_type is 'gpt2', expected 'qwen3' or 'llama'"):
        parse_config(raw | {"transformer_layer_config": layers | {"model_type": "gpt2"}})


def test_left_out_entries_are_filled_from_the_class_that_is_named() -> None:
    """RedHat's 31B file as its readers quote it: a plain rope_theta, no layer types, no window."""
    own = {"model_type": "llama", "head_dim": 256, "hidden_size": 5376, "num_hidden_layers": 5}
    heads = {"num_attention_heads": 32, "num_key_value_heads": 16}
    rest = {"intermediate_size": 21504, "vocab_size": 262144, "rope_theta": 10000.0}
    config = parse_config(early_speculators("dflash", 8, transformer_layer_config=own | heads | rest))
    assert (config.rope_theta, config.rms_norm_eps, config.max_position_embeddings) == (10000.0, 1e-6, 2048)
    assert config.layer_types == (F,) * 5
    assert config.target_layer_ids == (0, 16, 28, 46, 57)


def test_scales_and_soft_cap_are_read_where_they_are_given() -> None:
    scales = {"input_embedding_scale": 2.0, "output_multiplier": 0.5, "final_logit_softcapping": 30.0}
    config = parse_config(early_speculators("dflash2", 7, **scales))
    assert {name: getattr(config, name) for name in scales} == scales


def test_small_folders_are_read_without_a_note() -> None:
    assert parse_config(folders.small_speculators("dflash", "31B")).notes == ()

"""Headers show which files do not belong together, in the words of a checkpoint's misfit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from drafters.errors import InputError
from harness.engines.gguf.fit import (
    check_drafter,
    check_same,
    check_tap,
    max_draft_tokens,
    read_drafter,
    read_target,
    sizes_in,
    sizes_of,
    spec_type,
)
from harness.engines.gguf.read import Header, Packed
from tests.helpers import gguf_bytes as packed

ASSISTANT = {"embedding_length": 8, "embedding_length_out": 32}
BLOCK = {"block_size": 16, "target_layers": [1]}
RAW = {
    "num_hidden_layers": 2, "hidden_size": 32, "vocab_size": 8, "sliding_window": 16, "head_dim": 8,
    "global_head_dim": 16, "num_key_value_heads": 2, "num_global_key_value_heads": 1, "attention_k_eq_v": True,
    "layer_types": ["sliding_attention", "full_attention"],
}  # fmt: skip


@pytest.fixture
def target(tmp_path: Path) -> Header:
    return read_target(packed.write(tmp_path, "gemma4"), "target.gguf")


def drafter(folder: Path, kind: str, **options: Any) -> Header:
    architecture, own = ("gemma4-assistant", ASSISTANT) if kind == "mtp" else ("dflash", BLOCK)
    changes = {**own, **options.pop("changes", {})}
    return read_drafter(packed.write(folder, architecture, changes, **options), f"drafters.{kind}.gguf", kind)


@pytest.mark.parametrize(("kind", "most"), [("mtp", None), ("dflash", 15)])
def test_a_fitting_drafter_names_its_limits(tmp_path: Path, target: Header, kind: str, most: int | None) -> None:
    assert check_drafter(drafter(tmp_path, kind), sizes_of(target), "key").max_draft_tokens == most


@pytest.mark.parametrize(
    ("kind", "options", "said"),
    [
        ("mtp", {"changes": {"embedding_length_out": 40}}, "embedding_length_out is 40, expected 32 as in the target"),
        ("mtp", {"changes": {"embedding_length_out": None}}, "embedding_length_out is None, expected 32"),
        ("mtp", {"tokens": 9}, "vocabulary is 9, expected 8"),
        ("mtp", {"changes": {"attention.key_length": 4}}, r"full_attention .* is \(4, 1\), expected \(16, 1\)"),
        ("mtp", {"changes": {"attention.sliding_window": 4}}, "sliding_window is 4, expected 16 .* whose cache"),
        ("dflash", {"changes": {"embedding_length": 8}}, "embedding_length is 8, expected 32"),
        ("dflash", {"changes": {"target_layers": [2]}}, "taps layer 1, the target's last; llama.cpp hands out inputs"),
        ("dflash", {"changes": {"target_layers": [7]}}, r"taps layer 6, expected 0 to 0 \(the target's layers\)"),
    ],
)
def test_a_drafter_of_another_target_is_refused(
    tmp_path: Path, target: Header, kind: str, options: dict[str, Any], said: str
) -> None:
    with pytest.raises(InputError, match=f"^key: the drafter.*{said}" if "taps" not in said else said):
        check_drafter(drafter(tmp_path, kind, **options), sizes_of(target), "key")


def test_a_file_in_another_role_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"target.gguf: .*architecture is 'llama'; expected gemma4 \(a target\)"):
        read_target(packed.write(tmp_path, "llama"), "target.gguf")
    with pytest.raises(InputError, match=r"architecture is 'gemma4', a target; expected gemma4-assistant"):
        read_drafter(packed.write(tmp_path, "gemma4"), "drafters.mtp.gguf", "mtp")


def test_a_target_stands_for_its_own_checkpoint_only(target: Header) -> None:
    check_same(target, RAW, "target.gguf")
    check_same(target, {"text_config": RAW}, "target.gguf")
    with pytest.raises(InputError, match=r"is another model: its layers is 2, expected 3 as in target.path"):
        check_same(target, RAW | {"num_hidden_layers": 3}, "target.gguf")


def test_a_checkpoint_has_the_sizes_of_its_file(target: Header) -> None:
    assert sizes_in(RAW) == sizes_of(target)


def test_a_header_without_its_sizes_is_refused(tmp_path: Path, target: Header) -> None:
    with pytest.raises(InputError, match=r"dflash.block_size is missing, expected a whole number"):
        check_drafter(drafter(tmp_path, "dflash", changes={"block_size": None}), sizes_of(target), "key")
    with pytest.raises(InputError, match=r"attention.head_count_kv has 1 values, expected 2 \(block_count\)"):
        read_target(packed.write(tmp_path, "gemma4", {"attention.head_count_kv": [2]}), "key").each(
            "attention.head_count_kv", 2
        )


def block(values: dict[str, Any], *tensors: str) -> Header:
    known = {name: Packed((1,), "F32", 0, 4) for name in tensors}
    return Header(Path("x"), "dflash", {f"dflash.{k}": v for k, v in {"block_size": 7, **values}.items()}, known, 0)


def test_the_way_of_drafting_follows_from_the_file() -> None:
    plain, spark = block({}), block({"sample_from_anchor": True}, "markov_w1.weight")
    assert (spec_type(plain), max_draft_tokens(plain)) == ("draft-dflash", 6)
    assert (spec_type(spark), max_draft_tokens(spark)) == ("draft-dspark", 7)
    bonus = block({"sample_from_anchor": False}, "markov_w1.weight")
    assert (spec_type(bonus), max_draft_tokens(bonus)) == ("draft-dspark", 6)
    anchored = block({"sample_from_anchor": True})
    assert (spec_type(anchored), max_draft_tokens(anchored)) == ("draft-dspark", 7)


def test_taps_end_before_the_last_layer() -> None:
    check_tap(4, 6, "key")
    with pytest.raises(InputError, match="the target's last"):
        check_tap(5, 6, "key")

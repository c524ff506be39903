"""A checkpoint is described from its files alone."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from harness.comparison.manifest import checkpoint_identities
from harness.target import weights
from harness.target.weights import describe_checkpoint, hub_revision


def checkpoint(folder: Path, value: float = 0.0) -> Path:
    folder.mkdir(parents=True)
    tensors = {"a": torch.full((3, 4), value), "b": torch.zeros(5, dtype=torch.bfloat16)}
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "config.json").write_text("{}")
    return folder


def test_parameters_bytes_and_dtypes_come_from_the_headers(tmp_path: Path) -> None:
    described = describe_checkpoint(checkpoint(tmp_path / "a"), "target.path")
    assert described["parameters"] == 3 * 4 + 5
    assert described["bytes"] == 3 * 4 * 4 + 5 * 2
    assert described["stored_dtypes"] == ["BF16", "F32"]


@pytest.mark.parametrize("limit", [weights.FULL_HASH_BYTES, 0])
def test_the_hash_follows_the_contents_not_the_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: int
) -> None:
    monkeypatch.setattr(weights, "FULL_HASH_BYTES", limit)
    first, copy, other = (
        describe_checkpoint(checkpoint(tmp_path / name, value), "target.path")
        for name, value in [("a", 0.0), ("b", 0.0), ("c", 1.0)]
    )
    assert first["weights_hash"] == copy["weights_hash"] != other["weights_hash"]
    assert first["weights_hash_kind"] == ("sha256" if limit else "sha256 of file ends")


def test_a_large_checkpoint_that_differs_between_its_ends_is_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(weights, "FULL_HASH_BYTES", 0)
    monkeypatch.setattr(weights, "SAMPLE_BYTES", 16)
    described = []
    for value in (0.0, 1.0):
        folder = tmp_path / str(value)
        folder.mkdir()
        tensors = {"a": torch.zeros(64), "b": torch.full((64,), value), "c": torch.zeros(64)}
        save_file(tensors, folder / "model.safetensors")
        (folder / "config.json").write_text("{}")
        described.append(describe_checkpoint(folder, "target.path"))
    one, other = checkpoint_identities({"one": described[0], "other": described[1]}).values()
    assert one != other


def test_a_hub_snapshot_tells_its_revision(tmp_path: Path) -> None:
    assert hub_revision(tmp_path / "models--a--b" / "snapshots" / "77d42") == "77d42"
    assert hub_revision(tmp_path / "a") is None

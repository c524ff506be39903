"""A pair in folders for the tests of what reads them, whole and changed at will."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file

from tests.helpers import published_folders as published
from tests.helpers import reference
from tests.helpers import tiny_models as tiny

STRUCTURE = "dense_k_eq_v"


@pytest.fixture(scope="session")
def saved(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A pair in folders. Tests that change one change a copy."""
    base, model = tmp_path_factory.mktemp("saved"), reference.target(STRUCTURE).model
    model.save_pretrained(base / "target")
    tiny.assistant_model(model).save_pretrained(base / "mtp")
    published.write_dflash(base / "dflash", tiny.dflash_model(model))
    return {name: base / name for name in ("target", "mtp", "dflash")}


@pytest.fixture
def copied(saved: dict[str, Path], tmp_path: Path) -> Callable[..., Path]:
    """A copy of a folder, its config and tensors changed at will; with `tensors=None` it has no weights at all."""

    def copy(
        name: str,
        config: Callable[[dict[str, Any]], Any] = lambda raw: None,
        tensors: Callable[[dict[str, Any]], Any] | None = lambda found: None,
    ) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        raw = json.loads((saved[name] / "config.json").read_text())
        config(raw)
        (folder / "config.json").write_text(json.dumps(raw))
        if tensors is not None:
            found = load_file(saved[name] / "model.safetensors")
            tensors(found)
            save_file(found, folder / "model.safetensors", metadata={"format": "pt"})
        return folder

    return copy

"""An export is made once: the same content is found under any path, other content is not."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from harness.engines.gguf.kept import exported
from harness.vocabulary import ASSETS

pytest.importorskip("gguf")
TARGET, MTP = ASSETS / "e2b" / "target", ASSETS / "e2b" / "mtp"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DRAFTHOUSE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_a_copy_of_a_folder_gets_the_file_that_is_there(tmp_path: Path) -> None:
    first = exported(MTP, target=TARGET)
    made = first.stat().st_mtime_ns
    copy = Path(shutil.copytree(MTP, tmp_path / "mtp"))
    assert exported(copy, target=TARGET) == first
    assert first.stat().st_mtime_ns == made


def test_another_type_config_or_vocabulary_is_another_file(tmp_path: Path, cache: Path) -> None:
    copy, other = Path(shutil.copytree(MTP, tmp_path / "mtp")), Path(shutil.copytree(TARGET, tmp_path / "target"))
    found = {exported(copy, target=TARGET), exported(copy, "q8_0", target=TARGET)}
    (other / "tokenizer_config.json").write_text("{}")
    found.add(exported(copy, target=other))
    config = json.loads((copy / "config.json").read_text())
    config["text_config"]["max_position_embeddings"] = 1024
    (copy / "config.json").write_text(json.dumps(config))
    found.add(exported(copy, target=TARGET))
    assert len(found) == 4
    assert {path.name for path in (cache / "gguf").iterdir()} == {path.name for path in found}

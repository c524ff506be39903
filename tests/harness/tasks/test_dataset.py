"""A local file comes first, then prompts in the config, then the publisher's copy; `datasets` only for the last."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from drafters.errors import InputError
from harness.config import DatasetConfig, RowConfig, SourceConfig
from harness.tasks import hub
from harness.tasks.dataset import load_prompts

GSM8K = RowConfig(template="{{ question }}", answer="answer")
SOURCE = SourceConfig(hub="owner/set", config="main", split="test", revision="a" * 40)


class Table:
    """A published split, as the library gives it."""

    def __init__(self, rows: list[dict[str, Any]]) -> None:
        self.rows, self.column_names = rows, list(rows[0])

    def select_columns(self, names: list[str]) -> Table:
        return Table([{name: row[name] for name in names} for row in self.rows])

    def __iter__(self) -> Any:
        return iter(self.rows)


def test_a_local_copy_needs_no_library_and_no_network(tmp_path: Path) -> None:
    path = tmp_path / "copy.jsonl"
    path.write_text(json.dumps({"question": "1 + 1?", "answer": "#### 2"}) + "\n")
    code = (
        "import sys; sys.modules['datasets'] = None\n"
        "from harness.config import DatasetConfig\n"
        "from harness.tasks.dataset import load_prompts\n"
        "from harness.config import RowConfig, SourceConfig\n"
        "source = SourceConfig(hub='owner/set', split='test')\n"
        f"config = DatasetConfig('gsm8k', {str(path)!r}, source=source, row=RowConfig(template='{{{{ question }}}}'))\n"
        "print(load_prompts(config, 0)[0].turns[0])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "1 + 1?", done.stderr


def test_the_publishers_copy_is_read_at_its_revision(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [{"question": f"{i}?", "answer": "#### 1", "huge": "x"} for i in range(3)]
    asked: list[SourceConfig] = []
    monkeypatch.setattr(hub, "_load", lambda source: asked.append(source) or Table(rows))
    prompts = load_prompts(DatasetConfig("set", source=SOURCE, row=GSM8K, limit=2), seed=0)
    assert [prompt.answer for prompt in prompts] == ["#### 1", "#### 1"]
    assert asked == [SOURCE]
    assert hub.published_name(SOURCE) == "owner/set (main test) at aaaaaaaaaaaa"


def test_an_unreachable_hub_is_reported_with_a_way_around(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(source: SourceConfig) -> Any:
        raise ConnectionError("no route\nmore")

    monkeypatch.setattr(hub, "_load", fail)
    with pytest.raises(InputError) as error:
        load_prompts(DatasetConfig("set", source=SOURCE, row=GSM8K), seed=0)
    assert "owner/set (main test) at aaaaaaaaaaaa could not be fetched (ConnectionError: no route)" in str(error.value)
    assert "set dataset.path to a local copy" in str(error.value)


def test_files_of_a_repository_are_taken_at_its_revision() -> None:
    source = SourceConfig(hub="owner/set", files=["a.jsonl", "b.jsonl"], revision="b" * 40)
    assert hub.file_urls(source) == [f"hf://datasets/owner/set@{'b' * 40}/{name}.jsonl" for name in "ab"]
    assert hub.file_urls(SourceConfig(files=["https://x/y.jsonl"])) == ["https://x/y.jsonl"]


def test_prompts_may_be_listed_in_the_config() -> None:
    config = DatasetConfig("own", prompts=[{"prompt": "Hello"}, {"prompt": "Bye", "category": "c"}])
    assert [(p.prompt_id, p.category) for p in load_prompts(config, 0)] == [("own-1", "own"), ("own-2", "c")]


def test_a_source_must_say_enough() -> None:
    with pytest.raises(InputError, match=r"dataset\.source\.hub=set: expected a dataset's id"):
        SourceConfig(hub="set", split="test")
    with pytest.raises(InputError, match=r"dataset\.source\.split is empty"):
        SourceConfig(hub="owner/set")


def test_two_rows_of_one_id_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"id": 1, "q": "a"}\n{"id": 1, "q": "b"}\n')
    row = RowConfig(template="{{ q }}", id=["id"])
    with pytest.raises(InputError, match="line 2: id 1 was already used in line 1"):
        load_prompts(DatasetConfig("set", str(path), row=row), 0)

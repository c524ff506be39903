"""docs/compare.ipynb runs from its first cell to its last, and is kept without outputs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from harness.launch.python.results import Result
from harness.vocabulary import ROOT

NOTEBOOK = ROOT / "docs" / "compare.ipynb"


def code_cells() -> list[dict[str, Any]]:
    kept = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    assert (kept["nbformat"], kept["nbformat_minor"]) == (4, 5)
    return [cell for cell in kept["cells"] if cell["cell_type"] == "code"]


def test_the_notebook_is_kept_without_outputs() -> None:
    assert {(len(cell["outputs"]), cell["execution_count"]) for cell in code_cells()} == {(0, None)}


@pytest.mark.usefixtures("blank_charts")
def test_every_cell_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "harness").symlink_to(ROOT / "harness")  # where the notebook looks for the embedded family
    names: dict[str, Any] = {}
    for cell in code_cells():
        exec(compile("".join(cell["source"]), str(NOTEBOOK), "exec"), names)
    assert isinstance(names["result"], Result)
    assert set(names["result"].summary["arm"]) == {"baseline", "mtp", "dflash"}
    assert names["result"].exit_code == 0
    assert (tmp_path / "outputs" / "notebook" / "report.html").is_file()
    said = capsys.readouterr().out
    assert names["answer"].text in said
    assert names["again"].verdict.title in said

"""Prompts kept beside a run are read back unchanged."""

from __future__ import annotations

from pathlib import Path

from harness.records.prompts import read_prompts, write_prompts
from harness.tasks.prompts import Prompt


def test_prompts_are_read_back_whole_and_without_their_answers(tmp_path: Path) -> None:
    odd = "line\nbreak \u2028 </script> \ud800"
    write_prompts(tmp_path, [Prompt("p1", "code", ("first", odd), (("system", "be brief"),), answer="secret")])
    kept = read_prompts(tmp_path)["p1"]
    assert (kept.category, kept.turns, kept.opening) == ("code", ("first", odd), (("system", "be brief"),))
    assert "secret" not in (tmp_path / "prompts.jsonl").read_text()


def test_a_run_without_kept_prompts_has_none(tmp_path: Path) -> None:
    assert read_prompts(tmp_path) == {}

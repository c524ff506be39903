"""`drafthouse race --live`: an ordinary run on one prompt, its answers shown while they grow, and what it refuses."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from drafters.errors import InputError
from harness.launch.live_race import PROMPT_FILE, Watched, arguments_of, folder_of, prompt_of, write_prompt
from harness.launch.race import main
from harness.records.rounds import Generation
from harness.vocabulary import EXIT_BAD_INPUT, EXIT_OK
from tests.helpers import generated_runs as synthetic

PROMPT = "Write a Python class Boat with owner: str."


class Answering:
    """A batch of one prompt whose tokens are the characters of its text."""

    def __init__(self) -> None:
        self.generation: Generation | None = None
        self.done: dict[int, Generation] = {}

    def answer(self, index: int) -> Generation | None:
        return self.generation

    def grow(self, text: str) -> None:
        self.generation = Generation(list(map(ord, text)), "length", prefill_s=0.25)

    def finish(self, text: str) -> None:
        self.grow(text)
        assert self.generation is not None
        self.generation.decode_s = 1.0
        self.done[0] = self.generation


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> Watched:
    monkeypatch.setattr(Watched, "text_of", staticmethod(lambda batch, ids: "".join(map(chr, ids))))
    return Watched(Console(file=io.StringIO(), width=80))


def said(watched: Watched) -> str:
    file: Any = watched.console.file
    return str(file.getvalue())


def test_an_arm_is_shown_as_far_as_it_has_written(watched: Watched) -> None:
    batch: Any = Answering()
    watched.draw("live mtp (mtp 2.00x so far)", 1)
    watched.watch(batch)
    watched.show()
    assert said(watched) == "\nmtp\n"
    batch.grow("ab\N{REPLACEMENT CHARACTER}")  # half a character
    watched.show()
    assert said(watched) == "\nmtp\nab"
    batch.finish("abüc\x1b[2J")
    watched.draw("live dflash", 2)
    assert said(watched) == "\nmtp\nabüc\N{REPLACEMENT CHARACTER}[2J\n8 tokens · 1.25 s\n"


def test_a_warm_up_is_not_shown_and_an_arm_that_fails_stops_early(watched: Watched) -> None:
    batch: Any = Answering()
    watched.draw("warming up mtp", 0)
    watched.watch(batch)
    assert said(watched) == ""
    watched.draw("live mtp", 0)
    watched.watch(batch)
    batch.grow("ab")
    watched.stop()
    assert said(watched) == "\nmtp\nab\nstopped early\n"


def test_on_a_terminal_a_thread_looks_while_the_arm_writes(monkeypatch: pytest.MonkeyPatch) -> None:
    from harness.launch import live_race

    monkeypatch.setattr(live_race, "SECONDS_BETWEEN_LOOKS", 0.001)
    monkeypatch.setattr(Watched, "text_of", staticmethod(lambda batch, ids: "".join(map(chr, ids))))
    watched, batch = Watched(Console(file=io.StringIO(), width=80, force_terminal=True)), Answering()
    watched.draw("live mtp", 0)
    given: Any = batch
    watched.watch(given)
    batch.grow("first words")
    reader = watched._reader
    assert reader is not None
    while "first words" not in said(watched):
        assert reader.is_alive()
    watched.stop()
    assert not reader.is_alive()


@pytest.mark.parametrize("given", ["", "  \n"])
def test_an_empty_prompt_is_refused_in_one_line(given: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--live", given]) == EXIT_BAD_INPUT
    assert capsys.readouterr().err.splitlines() == [
        "error: --live: the prompt is empty, expected a text to continue or a question to answer"
    ]


def test_stdin_is_read_where_the_prompt_is_a_dash(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("two\nlines"))
    assert prompt_of("-") == "two\nlines"
    monkeypatch.setattr(sys, "stdin", io.StringIO(""))
    with pytest.raises(InputError, match="--live -: the prompt is empty"):
        prompt_of("-")
    with pytest.raises(InputError, match="UTF-8"):
        prompt_of("\udcff")


@pytest.mark.parametrize("override", ["dataset=gsm8k", "dataset.path=x", "restarts=3", "outputs/run"])
def test_what_does_not_go_with_a_prompt_is_refused_by_name(override: str) -> None:
    with pytest.raises(InputError, match=override.partition("=")[0]):
        folder_of([override], Path("unused"))


def test_overrides_of_the_user_stand_instead_of_the_races_own() -> None:
    path, folder = Path("a b/live.jsonl"), Path("a b")
    found = arguments_of(path, folder, ["costs=true", "k=2"])
    assert "dataset.path='a b/live.jsonl'" in found
    assert "costs=false" not in found
    assert found[-2:] == ["costs=true", "k=2"]
    assert folder_of(["hydra.run.dir='a b'"], Path("unused")) == folder


def test_a_folder_keeps_its_prompt(tmp_path: Path) -> None:
    path = write_prompt("one", tmp_path)
    assert write_prompt("one", tmp_path) == path
    with pytest.raises(InputError, match="another prompt"):
        write_prompt("two", tmp_path)
    assert json.loads(path.read_text())["question"] == "one"


@pytest.mark.parametrize("arguments", [[], ["a", "b"], ["--live", "x", "--prompt", "y"]])
def test_a_race_needs_a_folder_or_a_prompt(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == EXIT_BAD_INPUT
    assert "expected" in capsys.readouterr().err


def test_on_a_terminal_the_replay_and_the_page_follow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = synthetic.write_run(tmp_path, prompts=1, tokens=10)
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setattr("harness.launch.race.run_live", lambda *_: (EXIT_OK, folder))
    assert main(["--live", "x", "--speed", "1000"]) == EXIT_OK
    shown = capsys.readouterr()
    assert "place 3" in shown.out
    assert shown.err.splitlines()[-1] == f"page: {folder / 'report.html'}"


def test_the_embedded_arms_write_an_answer_to_a_prompt_from_stdin(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    command: Callable[..., int],
    blank_charts: None,
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(PROMPT))
    folder = tmp_path / "race"
    assert main(["--live", "-", "max_new_tokens=12", f"hydra.run.dir={folder}"]) == EXIT_OK
    out = capsys.readouterr().out
    rows = [json.loads(line) for line in (folder / "generations.jsonl").read_text().splitlines()]
    assert sorted(row["arm"] for row in rows) == ["baseline", "dflash", "mtp"]
    for row in rows:
        assert f"\n{row['arm']}\n{row['text'].rstrip()}" in out
    last = json.loads(out.splitlines()[-1])
    assert (last["exit_code"], last["run_dir"]) == (EXIT_OK, str(folder))
    assert json.loads((folder / PROMPT_FILE).read_text())["question"] == PROMPT

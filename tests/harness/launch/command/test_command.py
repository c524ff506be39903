"""`drafthouse`: its words lead to the commands, and a word that it does not know gets an answer."""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib.metadata import version
from importlib.util import find_spec

import pytest

from harness.launch.command import main as command_module
from harness.launch.command.help import run_help
from harness.launch.command.main import COMMANDS, main, unknown
from harness.vocabulary import EXIT_BAD_INPUT, EXIT_OK

Calls = list[tuple[str, list[str]]]


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Calls:
    """The modules that were called, with their arguments."""
    called: Calls = []

    class Module:
        def __init__(self, name: str) -> None:
            self.name = name

        def main(self) -> int:
            called.append((self.name, sys.argv[1:]))
            return 7

    monkeypatch.setattr(command_module, "import_module", Module)
    monkeypatch.setattr(sys, "argv", ["drafthouse"])
    return called


@pytest.mark.parametrize(
    ("given", "module", "arguments"),
    [
        ([], "harness.__main__", []),
        (["dataset.limit=28"], "harness.__main__", ["dataset.limit=28"]),
        (["run", "dataset.limit=28"], "harness.__main__", ["dataset.limit=28"]),
        (["-m", "num_draft_tokens=1,2"], "harness.__main__", ["-m", "num_draft_tokens=1,2"]),
        (["inspect", "folder"], "harness.inspect", ["folder"]),
        (["status", "--json"], "harness.status", ["--json"]),
    ],
)
def test_a_word_leads_to_its_command_with_the_rest(
    calls: Calls, given: list[str], module: str, arguments: list[str]
) -> None:
    assert main(given) == 7
    assert calls == [(module, arguments)]


def test_an_unknown_word_is_one_line_with_its_nearest(capsys: pytest.CaptureFixture[str], calls: Calls) -> None:
    assert main(["inspct"]) == EXIT_BAD_INPUT
    assert "error: inspct: no such command, did you mean inspect? expected one of run, list" in capsys.readouterr().err
    assert "did you mean" not in unknown("zzzz")
    assert not calls


def test_every_listed_command_has_a_module_and_a_line() -> None:
    assert {"run", "list", "compare", "status", "report", "inspect", "upload", "train"} <= set(COMMANDS)
    assert all(find_spec(one.module) for one in COMMANDS.values())
    assert all(one.about for one in COMMANDS.values())


def test_the_version_names_the_libraries_that_decide_a_result(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == EXIT_OK
    assert capsys.readouterr().out == (
        f"drafthouse {version('drafthouse')}, torch {version('torch')}, transformers {version('transformers')}\n"
    )


def test_help_begins_with_examples_and_shows_the_comments_of_the_config(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == EXIT_OK
    lines = capsys.readouterr().out.splitlines()
    assert sum(line.startswith("drafthouse") for line in lines[:12]) == 10
    page = run_help()
    assert page.startswith("drafthouse ")
    assert "  # A losslessness mismatch ends with exit code 3" in page
    assert "  strict: true" in page
    assert "target       12b, 26b_a4b, 31b" in page
    assert "hydra/" not in page


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["num_draft_token=8"], "num_draft_token=8: no such key, did you mean num_draft_tokens?"),
        (["decoding.temprature=1"], "decoding.temprature=1: no such key, did you mean decoding.temperature?"),
        (["colour=red"], "colour=red: no such key; --help lists the keys"),
        (["target=emebdded"], "path, did you mean embedded?"),
        (["drafter=mtp,dflash"], "expected drafter=[mtp,dflash] for all in one run, or -m drafter=mtp,dflash for one"),
        (["drafter=[mtp,", "dflash]"], "drafter=[mtp,: expected a list in one word: quote it, or leave out the blanks"),
        (["--drafter", "mtp"], "--drafter: no such option, expected KEY=VALUE, as in drafter=VALUE"),
    ],
)
def test_a_mistyped_run_is_answered_with_the_form_that_was_meant(
    command: Callable[..., int], capsys: pytest.CaptureFixture[str], arguments: list[str], line: str
) -> None:
    assert command(*arguments) == EXIT_BAD_INPUT
    [said] = [text for text in capsys.readouterr().err.splitlines() if text.startswith("error: ")]
    assert line in said

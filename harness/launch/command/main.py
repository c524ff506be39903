"""`drafthouse COMMAND ...`: every command of the project under one name; without a command, it runs a comparison.

    drafthouse dataset.limit=28        is  drafthouse run dataset.limit=28  is  python -m harness dataset.limit=28
    drafthouse inspect FOLDER          is  python -m harness.inspect FOLDER

A command's module is imported when it is called, so that help, lists and typos wait for no library.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from importlib import import_module

from drafters.errors import InputError
from harness.records.terminal import width_of
from harness.report.entry import command
from harness.vocabulary import EXIT_OK


@dataclass(frozen=True, slots=True)
class Command:
    """One word after `drafthouse`: the module whose `main` it calls, and a line about it."""

    module: str
    about: str


COMMANDS = {
    "run": Command("harness.__main__", "compare drafters: the default, `drafthouse run KEY=VALUE ...`"),
    "list": Command("harness.launch.command.listing", "targets, drafters, datasets, experiments to choose from"),
    "compare": Command("harness.compare", "rank runs and sweeps in one leaderboard"),
    "status": Command("harness.status", "the jobs of a sweep, or the state of a run"),
    "report": Command("harness.report.__main__", "write the pages of runs again, from their files"),
    "race": Command("harness.launch.race", "replay a prompt at the measured pace; --live PROMPT: one of your own"),
    "advise": Command("harness.advise", "the arm and k to deploy, with settings to paste"),
    "diagnose": Command("harness.diagnose", "is a drafter weak or wired wrongly: drafts again from a run's answers"),
    "inspect": Command("harness.inspect", "read a checkpoint: shapes, layout, fit to a target"),
    "export": Command("harness.export", "write a checkpoint for another engine"),
    "check-drafter": Command("harness.launch.check_drafter", "hold a drafter of your own to the contract of all"),
    "upload": Command("harness.upload", "send runs to Weights & Biases"),
    "train": Command("harness.train", "train the embedded families, or drafters for a target"),
}


@command
def main(arguments: Sequence[str] | None = None) -> int:
    """Call the command that is named first; returns its exit code. Raises InputError for an unknown word."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    first = given[0] if given else ""
    if first == "--version":
        print(versions())
        return EXIT_OK
    if first in ("-h", "--help", "help"):
        from harness.launch.command.help import overview

        print(overview(COMMANDS, width_of(sys.stdout)))
        return EXIT_OK
    name, rest = (first, given[1:]) if first in COMMANDS else ("run", given)
    if name == "run" and first != "run" and not is_override(first):
        raise InputError(unknown(first))
    sys.argv = [f"drafthouse {name}" if name != "run" else "drafthouse", *rest]
    called: int = import_module(COMMANDS[name].module).main()
    return called


def is_override(word: str) -> bool:
    """Whether `word` belongs to a run: nothing, an option, or KEY=VALUE."""
    return not word or word.startswith(("-", "~")) or "=" in word


def unknown(word: str) -> str:
    close = get_close_matches(word, COMMANDS, n=1)
    hint = f"did you mean {close[0]}? " if close else ""
    return f"{word}: no such command, {hint}expected one of {', '.join(COMMANDS)}, or KEY=VALUE of a run"


def versions() -> str:
    """The project's version and those of the libraries that decide a result, read without importing them."""
    from importlib.metadata import PackageNotFoundError, version

    found = []
    for package in ("drafthouse", "torch", "transformers"):
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            found.append(f"{package} not installed")
    return ", ".join(found)


if __name__ == "__main__":
    sys.exit(main())

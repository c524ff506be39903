"""The command that goes on with a run, as a shell takes it."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from hydra.core.override_parser.types import Quote, QuotedString

from harness.records.secrets import redact_command

FOLDERS = ("hydra.run.dir", "hydra.sweep.dir")
COMMAND = "drafthouse"  # as harness/launch/command/main.py names a run


def resume_hint(command: Sequence[str], folder: Path, *, sweep: bool) -> str:
    """`... continues`, for a run's command as `sys.argv` has it, and the folder of the run or of its sweep.

    The hint always names the folder: the default name holds the time, so the bare command would start anew.
    """
    key = FOLDERS[sweep]
    where = f"{key}={quoted(str(folder))}"
    if os.environ.get("WORLD_SIZE", "1") != "1":  # the launcher's part of the command is unknown here
        return f"the same command with {where} continues"
    ours = tuple(f"{name}=" for name in FOLDERS)
    kept = [one for one in redact_command(command[1:]) if not one.lstrip("+").startswith(ours)]
    return f"`{shlex.join([*program(command[0]), *kept, where])}` continues"


def program(name: str) -> list[str]:
    """The words that start a run as it was started: by the command, or by the interpreter that runs this."""
    if Path(name).name == COMMAND:
        return [_typed(COMMAND), "run"]
    return [_typed("python"), "-m", "harness"]


def _typed(word: str) -> str:
    """`word` where the shell finds the program of this environment by it, else the program's path."""
    here = Path(sys.executable).with_name(word)  # not resolved: an environment's python links to another
    found = shutil.which(word)
    if found is not None and Path(found).absolute() == here:
        return word
    return str(here.relative_to(Path.cwd())) if here.is_relative_to(Path.cwd()) else str(here)


def quoted(value: str) -> str:
    """`value` as Hydra reads it: quoted where its grammar would take a character for more than text."""
    plain = all(character.isalnum() or character in "/-_.:+" for character in value)
    return value if plain else QuotedString(value, Quote.single).with_quotes()

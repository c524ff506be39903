"""The command that goes on with a run, as a shell takes it."""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from pathlib import Path

from hydra.core.override_parser.types import Quote, QuotedString

from harness.records.secrets import redact_command

FOLDERS = ("hydra.run.dir", "hydra.sweep.dir")


def resume_hint(arguments: Sequence[str], folder: Path, *, sweep: bool) -> str:
    """`... continues`, for the arguments behind the program's name and the folder of the run or of its sweep.

    The hint always names the folder: the default name holds the time, so the bare command would start anew.
    """
    key = FOLDERS[sweep]
    where = f"{key}={_quoted(str(folder))}"
    if os.environ.get("WORLD_SIZE", "1") != "1":  # the launcher's part of the command is unknown here
        return f"the same command with {where} continues"
    kept = [one for one in redact_command(arguments) if not one.lstrip("+").startswith(tuple(f"{f}=" for f in FOLDERS))]
    return f"`{shlex.join(['python', '-m', 'harness', *kept, where])}` continues"


def _quoted(value: str) -> str:
    """`value` as Hydra reads it: quoted where its grammar would take a character for more than text."""
    plain = all(character.isalnum() or character in "/-_.:+" for character in value)
    return value if plain else QuotedString(value, Quote.single).with_quotes()

"""`python -m tools.reference docs/reference.md`: writes the reference of commands and config keys.

Keys come from the files of `conf/` with their comments, and from the dataclasses of `harness/config` where a group has
many files; commands and their options from the commands' own parsers.
"""

from __future__ import annotations

import argparse
import dataclasses
import inspect
import re
import sys
from collections.abc import Iterator, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any
from unittest.mock import patch

import yaml

from harness.config import DatasetConfig, RowConfig, SourceConfig, TargetConfig
from harness.launch.command.help import EXAMPLES, OPTIONS
from harness.launch.command.listing import comment_of
from harness.launch.command.main import COMMANDS
from harness.vocabulary import CONF

HEAD = """\
# Commands and keys

<!-- Written by `python -m tools.reference docs/reference.md`; edit the comments in conf/ or the commands' help. -->

Every command is a word after `drafthouse`; `python -m harness` is the same as `drafthouse run`. The words of this page
are those of the [glossary](glossary.md).
"""
KEY = re.compile(r"^(\s*)([\w]+):(?:\s+(.*))?$")
GROUPS = ("target", "dataset", "decoding", "engine", "tracking", "experiment")
#: Groups whose files differ in values alone: their keys are those of a dataclass.
BY_CLASS = {"target": (("target", TargetConfig),), "dataset": (
    ("dataset", DatasetConfig), ("dataset.source", SourceConfig), ("dataset.row", RowConfig),
)}  # fmt: skip


class Grabbed(BaseException):
    """Ends a command at its parser."""

    def __init__(self, parser: argparse.ArgumentParser) -> None:
        self.parser = parser


def parser_of(module: str) -> argparse.ArgumentParser | None:
    """The parser of a command; None for one that reads KEY=VALUE."""

    def grab(parser: argparse.ArgumentParser, *rest: Any) -> None:
        raise Grabbed(parser)

    main = import_module(module).main
    if "arguments" not in inspect.signature(main).parameters:
        return None
    with patch.object(argparse.ArgumentParser, "parse_args", grab):
        try:
            main([])
        except Grabbed as found:
            return found.parser
    return None


def cell(text: object) -> str:
    """Text as one cell of a table."""
    return " ".join(str(text).split()).replace("|", "\\|")


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


# -- commands ----------------------------------------------------------------------------------------------------------


def options_of(parser: argparse.ArgumentParser) -> Iterator[list[str]]:
    """Each argument with its meaning and its default."""
    for action in parser._actions:
        if isinstance(action, argparse._HelpAction):
            continue
        own = "" if action.nargs == 0 else action.dest.upper()
        value = action.metavar or "|".join(map(str, action.choices or ())) or own
        shown = f"{', '.join(action.option_strings)} {value}".strip()
        default = "" if action.default in (None, False, argparse.SUPPRESS) or action.default == [] else action.default
        yield [cell(f"`{shown}`"), cell(action.help or ""), cell(default)]


def commands() -> Iterator[str]:
    yield "## Commands"
    yield table(("command", "what it does"), [[f"`{name}`", cell(one.about)] for name, one in COMMANDS.items()])
    for name, one in COMMANDS.items():
        parser = parser_of(one.module)
        if parser is not None:
            yield f"### `drafthouse {name}`"
            yield table(("argument", "meaning", "default"), list(options_of(parser)))
    yield "### `drafthouse run`"
    yield "The default: the word may be left out. It reads `KEY=VALUE` and `GROUP=NAME`."
    yield f"```\n{EXAMPLES}\n```"
    options = [re.split(r"\s{2,}", line.strip(), maxsplit=1) for line in OPTIONS.splitlines()]
    yield table(("option", "meaning"), [[f"`{option}`", cell(meaning)] for option, meaning in options])


# -- keys --------------------------------------------------------------------------------------------------------------


def commented(text: str, above: str = "") -> Iterator[tuple[str, str, str]]:
    """Every key of a YAML text with dots, its value, and the comments before and beside it.

    A comment stands for the keys that follow it up to a blank line or another comment. Blocks have no value.
    """
    comment: list[str] = []
    path: list[tuple[int, str]] = []
    fresh = True  # whether a comment line begins a new comment
    for line in text.splitlines():
        stripped = line.strip()
        if not stripped:
            comment, fresh = [], True
            continue
        if stripped.startswith("#"):
            comment = [stripped.lstrip("# ")] if fresh else [*comment, stripped.lstrip("# ")]
            fresh = False
            continue
        fresh = True
        found = KEY.match(line)
        if found is None:
            continue
        indent, key, value = len(found[1]), found[2], found[3] or ""
        value, _, beside = re.sub(r"^(#.*)$", r" \1", value).partition(" #")
        path = [one for one in path if one[0] < indent]
        dotted = ".".join(filter(None, [above, *(name for _, name in path), key]))
        yield dotted, value.strip(), " ".join(filter(None, [" ".join(comment), beside.strip()]))
        comment = []
        if not value.strip():
            path.append((indent, key))


def rows_of(text: str, above: str = "", left_out: Sequence[str] = ()) -> list[list[str]]:
    return [
        [f"`{key}`", cell(f"`{value}`") if value else "", cell(comment)]
        for key, value, comment in commented(text, above)
        if key.partition(".")[0] not in left_out
    ]


def run_keys() -> Iterator[str]:
    yield "## Keys of a run"
    yield "From `conf/config.yaml`; a key without a default is a block."
    text = (CONF / "config.yaml").read_text(encoding="utf-8").partition("job_logging: none\n")[2]
    yield table(("key", "default", "meaning"), rows_of(text, left_out=("hydra",)))
    yield "### Keys of each arm"
    text = (CONF / "drafters" / "known.yaml").read_text(encoding="utf-8")
    yield comment_of(CONF / "drafters" / "known.yaml")
    body = text[text.index("\nmtp:") :]
    yield table(("key", "default", "meaning"), rows_of(body, "drafters"))


def groups() -> Iterator[str]:
    yield "## Groups"
    yield "`GROUP=NAME` takes a file of `conf/GROUP/`; `drafthouse list` also says what is on this machine."
    for group in GROUPS:
        yield f"### `{group}`"
        paths = sorted((CONF / group).glob("*.yaml"))
        yield table(("name", "what it is"), [[f"`{path.stem}`", cell(comment_of(path))] for path in paths])
        for above, kind in BY_CLASS.get(group, ()):
            yield inspect.cleandoc(kind.__doc__ or "")
            fields = [(field.name, shown(field)) for field in dataclasses.fields(kind)]
            rows = [[f"`{above}.{name}`", cell(f"`{value}`" if value else "")] for name, value in fields]
            yield table(("key", "default"), rows)
        if group in ("decoding", "engine", "tracking"):
            for path in paths:
                if len(yaml.safe_load(path.read_text(encoding="utf-8")) or {}) > 1:
                    yield f"Keys with `{group}={path.stem}`:"
                    text = path.read_text(encoding="utf-8")
                    own = [row for row in rows_of(text, group) if row[0] != f"`{group}.name`"]
                    yield table(("key", "default", "meaning"), own)


def shown(field: dataclasses.Field[Any]) -> str:
    """A field's default as YAML writes it."""
    value = field.default if field.default is not dataclasses.MISSING else None
    if value is None and field.default_factory is not dataclasses.MISSING:
        made = field.default_factory()
        value = {} if dataclasses.is_dataclass(made) else made
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def text() -> str:
    """The whole page."""
    return "\n\n".join([HEAD.rstrip(), *commands(), *run_keys(), *groups()]) + "\n"


def main() -> None:
    Path(sys.argv[1]).write_text(text(), encoding="utf-8")


if __name__ == "__main__":
    main()

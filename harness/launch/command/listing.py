"""`drafthouse list [targets|drafters|datasets|experiments]`: what there is to choose, from `conf/` alone.

Each row has a name, the first sentence of its file's comment, size and licence as its file states them, and whether its
files are on this machine.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console
from rich.table import Table
from rich.text import Text

from drafters.errors import InputError
from drafters.plugins import Offer, offers
from drafters.registry import KINDS
from harness.report.entry import command
from harness.vocabulary import ASSETS, CONF, EXIT_OK

HERE, ABSENT, UNNEEDED = "here", "not here", ""


@dataclass(frozen=True, slots=True)
class Entry:
    """One choice: how it is named on the command line, and a few words about it."""

    name: str
    about: str
    size: str = ""
    licence: str = ""
    present: str = UNNEEDED
    package: str = ""


def comment_of(path: Path) -> str:
    """The first comment of a YAML file, as far as its first command or blank line; empty without one."""
    lines = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("# @package"):
            continue
        if not line.startswith("#") or line.startswith("#  "):
            break
        lines.append(line.lstrip("# "))
    return " ".join(lines)


def is_here(source: str | None) -> str:
    """Whether a checkpoint or dataset lies on this machine: in the assets, at a path, or in the hub's cache."""
    if not source:
        return UNNEEDED
    if source.startswith("${asset:"):
        return HERE if (ASSETS / source.removeprefix("${asset:").removesuffix("}")).exists() else ABSENT
    cache = os.environ.get("HF_HUB_CACHE") or Path(
        os.environ.get("HF_HOME") or Path.home() / ".cache" / "huggingface", "hub"
    )
    stored = [Path(cache, f"{kind}--{source.replace('/', '--')}", "snapshots") for kind in ("models", "datasets")]
    return HERE if Path(source).exists() or any(folder.is_dir() for folder in stored) else ABSENT


def first_sentence(text: str) -> str:
    return re.split(r"(?<=[.:])\s+(?=[A-Z])", text, maxsplit=1)[0].rstrip(".:")


def found(pattern: str, text: str) -> str:
    """The pattern's group in `text`; empty without one."""
    match = re.search(pattern, text)
    return match.group(1) if match else ""


def stored_size(source: str) -> str:
    """The size of a checkpoint in the assets."""
    folder = ASSETS / source.removeprefix("${asset:").removesuffix("}")
    stored = sum(path.stat().st_size for path in folder.glob("*.safetensors"))
    return f"{stored / 1e6:.0f} MB" if stored else ""


def targets() -> list[Entry]:
    """Sizes are those of the text part's weights, as stored or in bfloat16."""
    entries = []
    for path, raw in files("target"):
        comment, source = comment_of(path), str(raw.get("path") or "")
        size = found(r"text part weighs ([\d.]+ GB)", comment) or stored_size(source)
        licence = found(r"Licence: (\S+?)\.(?:\s|$)", comment)
        entries.append(Entry(path.stem, first_sentence(comment), size, licence, is_here(source)))
    return entries


def drafters() -> list[Entry]:
    """The kinds of drafters: those here, then those that installed packages offer, by their metadata alone."""
    own = [Entry(kind.name, kind.about or kind.title) for kind in KINDS.values()]
    return own + [offered(offer, claims) for claims in offers().values() for offer in claims]


def offered(offer: Offer, claims: Sequence[Offer]) -> Entry:
    """Another package's drafter, with the way to name it where its own name is taken."""
    about = offer.about or offer.code
    if offer.name in KINDS:
        about = f"hidden by the drafter here of the same name: kind: {offer.code}"
    elif len(claims) > 1:
        about = f"one of {len(claims)} packages that claim the name: kind: {offer.code}"
    return Entry(offer.name, about, package=offer.origin)


def datasets() -> list[Entry]:
    entries = []
    for path, raw in files("dataset"):
        source = raw.get("source") or {}
        licence = str(source.get("licence") or "").partition(" (")[0].partition(";")[0]
        where = is_here(raw.get("path") or source.get("hub"))
        entries.append(Entry(path.stem, first_sentence(comment_of(path)), licence=licence, present=where))
    return entries


def experiments() -> list[Entry]:
    return [Entry(path.stem, first_sentence(comment_of(path))) for path, _ in files("experiment")]


#: Each list with the words that choose one of its entries.
LISTS: dict[str, tuple[Callable[[], list[Entry]], str]] = {
    "targets": (targets, "target=NAME"),
    "drafters": (drafters, "drafter=NAME or drafter=[NAME,NAME]"),
    "datasets": (datasets, "dataset=NAME"),
    "experiments": (experiments, "experiment=NAME"),
}


def files(group: str) -> list[tuple[Path, dict[str, Any]]]:
    """The files of a config group by name, with their content."""
    paths = sorted((CONF / group).glob("*.yaml"))
    return [(path, yaml.safe_load(path.read_text(encoding="utf-8")) or {}) for path in paths]


def as_table(name: str) -> Table:
    """One list; columns that would be empty are left out."""
    entries, usage = LISTS[name][0](), LISTS[name][1]
    table = Table(title=f"{name}: {usage}", title_justify="left", title_style="bold", box=None, pad_edge=False)
    table.add_column("name", no_wrap=True)
    table.add_column("about", overflow="fold")
    columns = ("size", "licence", "present", "package")
    more = [column for column in columns if any(getattr(entry, column) for entry in entries)]
    for column in more:
        table.add_column({"present": "files"}.get(column, column), overflow="fold", max_width=22)
    for entry in entries:
        # As Text: rich would read brackets as markup.
        table.add_row(*map(Text, [entry.name, entry.about, *(getattr(entry, column) for column in more)]))
    return table


@command
def main(arguments: Sequence[str] | None = None) -> int:
    """Print the lists that are named, or all."""
    parser = argparse.ArgumentParser(prog="drafthouse list", description="What there is to choose.")
    parser.add_argument("lists", nargs="*", metavar="|".join(LISTS), help="all without one")
    options = parser.parse_args(arguments)
    for name in options.lists:
        if name not in LISTS:
            raise InputError(f"{name}: no such list, expected one of {', '.join(LISTS)}")
    console = Console()
    for index, name in enumerate(options.lists or LISTS):
        if index:
            console.print()
        console.print(as_table(name))
    return EXIT_OK


if __name__ == "__main__":
    sys.exit(main())

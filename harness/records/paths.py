"""Takes the machine out of paths before they leave it: folders and user names are nobody else's business."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from harness.vocabulary import ROOT

#: An absolute path of two parts or more within a text, with `file://` in front of it or not. The path of a URL is none.
PATH = re.compile(
    r"(?:\bfile://|(?<![\w.:/\\~}]))(?:~|[A-Za-z]:)?(?:[/\\][^\s/\\'\"`=,;:|<>()\[\]{}]+){2,}[/\\]?", re.UNICODE
)
WHOLE = re.compile(r"(?:~?/|[A-Za-z]:[/\\])[^\n=:,;|<>]*$")


def without_places(value: Any, *, bases: tuple[Path, ...] | None = None) -> Any:
    """Nested plain values with every absolute path shortened: relative to one of `bases` where it lies below it, else
    `.../` and its last part. `bases` default to the current folder and the project's.
    """
    kept = (Path.cwd(), ROOT) if bases is None else bases
    if isinstance(value, dict):
        return {without_places(name, bases=kept): without_places(inner, bases=kept) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [without_places(inner, bases=kept) for inner in value]
    if not isinstance(value, str):
        return value
    if WHOLE.match(value) and len(parts_of(value)) > 1:  # blanks belong to it
        return shortened(value, kept)
    return each_path(value, lambda path: shortened(path, kept))


def each_path(text: str, write: Callable[[str], str]) -> str:
    """`text` with every absolute path as `write` writes it, which gets it without `file://`."""
    return PATH.sub(lambda found: write(found[0].removeprefix("file://")), text)


def shortened(path: str, bases: tuple[Path, ...]) -> str:
    """One absolute path as `without_places` writes it."""
    for base in bases:
        below = PurePosixPath(path)
        if len(base.parts) > 1 and below.is_relative_to(base):
            return str(below.relative_to(base))
    return f".../{parts_of(path)[-1]}"


def parts_of(path: str) -> list[str]:
    """The names along an absolute path of either system, without its root."""
    pure = PureWindowsPath(path)  # takes both separators
    return [part for part in pure.parts if part != pure.anchor]

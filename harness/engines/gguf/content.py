"""The content of a GGUF file before it is written: keys with their values, and the tensors in their order."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from safetensors import safe_open
from torch import Tensor

from drafters.checkpoints.files import Stored, weight_files

#: A key's value: a string, a flag, a whole number, a float, or a list of one of these.
Value = str | bool | int | float | list[Any]


@dataclass(frozen=True)
class Piece:
    """A tensor of the file: its name there, and its origin.

    `plain` tensors keep their own type; the others take the type that the export asks for.
    """

    name: str
    shape: tuple[int, ...]
    folder: Path | None = None  # the checkpoint that stores it, under the name `stored`
    stored: str = ""
    made: Tensor | None = None  # a tensor that no checkpoint stores
    plain: bool = False


@dataclass
class Content:
    """Architecture, values and tensors of a file. `notes` name what the file cannot say and llama.cpp does otherwise.

    `values` has the architecture's keys without its prefix, `general` whole keys.
    """

    architecture: str
    values: dict[str, Value] = field(default_factory=dict)
    general: dict[str, Value] = field(default_factory=dict)
    pieces: list[Piece] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def keys(self) -> dict[str, Value]:
        """Every key of the file with its value, except the architecture's own."""
        return self.general | {f"{self.architecture}.{name}": value for name, value in self.values.items()}


def stored_piece(name: str, folder: Path, stored: str, about: Stored, *, plain: bool = False) -> Piece:
    """A stored tensor under the name `name`. Vectors stay plain: a norm has no rows that could be packed."""
    return Piece(name, about.shape, folder, stored, plain=plain or len(about.shape) < 2)


class Reader:
    """Reads single tensors of checkpoint folders; each file's header is read once."""

    def __init__(self) -> None:
        self.places: dict[Path, Mapping[str, Path]] = {}

    def get(self, piece: Piece) -> Tensor:
        if piece.made is not None:
            return piece.made
        assert piece.folder is not None
        if piece.folder not in self.places:
            self.places[piece.folder] = _places(piece.folder)
        with safe_open(self.places[piece.folder][piece.stored], framework="pt") as reader:
            tensor = reader.get_tensor(piece.stored)
        assert isinstance(tensor, Tensor)
        return tensor


def _places(folder: Path) -> dict[str, Path]:
    """The file of every tensor in `folder`."""
    found: dict[str, Path] = {}
    for path in weight_files(folder, str(folder)):
        with safe_open(path, framework="pt") as reader:
            found |= dict.fromkeys(reader.keys(), path)
    return found

"""The state that a round's program reads: every tensor by name, and a description of everything else.

A program is a function over objects (a decoder, its target, its drafter), so whatever decides its code can be found by
walking through them. The tensors are handed to a compiled program by name; their shapes and all numbers and words
beside them are its description. Two walks that give the same description can share one program.
"""

from __future__ import annotations

import dataclasses
import enum
import hashlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FunctionType, MethodType
from typing import Any

import torch
from torch import Tensor, nn

from harness.records.files import sha256_of

PLAIN = (str, int, float, bool, type(None), bytes, torch.dtype, torch.device, torch.Size)
#: Packages whose objects are walked through, and whose code is part of every key as a whole.
OURS = ("drafters", "harness")
#: Packages whose version is part of every key.
LIBRARIES = ("torch", "transformers")
#: Names, no matter what they hold: where a checkpoint came from, what undoes a change, whom a drafter serves, and the
#: attention that a target's config names outside a round. A class adds its own in `scratch`.
PASSED_OVER = {
    "_name_or_path",
    "name_or_path",
    "_commit_hash",
    "transformers_version",
    "_changes",
    "serving",
    "_attn_implementation_internal",
}


class State:
    """`tensors` by path, and the lines that describe them and everything else that `root` holds."""

    def __init__(self, root: dict[str, Any]) -> None:
        self.tensors: dict[str, Tensor] = {}
        self.names: dict[int, str] = {}
        self.lines: list[str] = []
        self._places: dict[tuple[Any, ...], str] = {}
        self._seen: dict[int, str] = {}
        self._files: set[Path] = set()
        self._held_before: list[tuple[dict[Any, Any], dict[Any, Any]]] = []
        stack: list[tuple[str, Any]] = [("", root)]
        while stack:
            path, value = stack.pop()
            stack.extend(reversed(list(self._visit(path, value))))

    def name_of(self, tensor: Tensor) -> str | None:
        """The path of this very tensor."""
        return self.names.get(id(tensor))

    def digest(self) -> str:
        """A hash of the description."""
        lines = [*self.lines, *(f"{file.name} {sha256_of(file)}" for file in sorted(self._files))]
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()

    def forget(self, kind: type[Tensor]) -> None:
        """Give back what stood where attributes hold tensors of `kind` by now: a capture leaves its own behind."""
        for now, before in self._held_before:
            for name in [name for name, value in now.items() if isinstance(value, kind)]:
                if name in before:
                    now[name] = before[name]
                else:
                    del now[name]

    def _visit(self, path: str, value: Any) -> Iterator[tuple[str, Any]]:
        if isinstance(value, Tensor):
            self._add(path, value)
        elif isinstance(value, PLAIN):
            self.lines.append(f"{path} = {value!r}")
        elif isinstance(value, enum.Enum):
            self.lines.append(f"{path} = {value}")
        elif id(value) in self._seen:
            self.lines.append(f"{path} is {self._seen[id(value)]}")
        else:
            self._seen[id(value)] = path
            self.lines.append(f"{path}: {_kind(value)}")
            self._note_code(value)
            held = value if isinstance(value, dict) else getattr(value, "__dict__", None)
            if isinstance(held, dict):
                self._held_before.append((held, dict(held)))
            passed_over = PASSED_OVER.union(getattr(type(value), "scratch", ()))
            yield from ((f"{path}.{name}", part) for name, part in _parts(value) if name not in passed_over)

    def _add(self, path: str, tensor: Tensor) -> None:
        if id(tensor) in self.names:
            self.lines.append(f"{path} is {self.names[id(tensor)]}")
            return
        self.tensors[path] = tensor
        self.names[id(tensor)] = path
        self.lines.append(f"{path}: {shape_of(tensor)}")

    def _note_code(self, value: Any) -> None:
        """Remember the file of a class that belongs to none of the packages whose code the key holds anyway."""
        owner = value if isinstance(value, FunctionType) else type(value)
        module = sys.modules.get(getattr(owner, "__module__", None) or "")
        package = (getattr(owner, "__module__", None) or "").partition(".")[0]
        file = getattr(module, "__file__", None)
        if file and package not in (*OURS, *LIBRARIES) and package not in sys.stdlib_module_names:
            self._files.add(Path(file))


def shape_of(tensor: Tensor) -> str:
    """Everything about `tensor` that a program is made for, but its numbers."""
    return f"{tensor.dtype} {tuple(tensor.shape)} {tensor.stride()} {tensor.device} {tensor.is_contiguous()}"


def _kind(value: Any) -> str:
    if isinstance(value, MethodType):
        value = value.__func__
    named = value if isinstance(value, FunctionType | type) else type(value)
    return f"{named.__module__}.{named.__qualname__}"


def _parts(value: Any) -> Iterator[tuple[str, Any]]:
    """The named parts of a container, a module, or an object of ours; nothing for anything else."""
    if isinstance(value, dict):
        yield from ((str(name), part) for name, part in value.items())
    elif isinstance(value, list | tuple):
        yield from ((str(index), part) for index, part in enumerate(value))
    elif isinstance(value, set | frozenset):
        yield from ((str(index), part) for index, part in enumerate(sorted(value, key=repr)))
    elif isinstance(value, MethodType):
        yield "__self__", value.__self__
    elif isinstance(value, FunctionType):
        cells = value.__closure__ or ()
        yield from ((f"cell{index}", cell.cell_contents) for index, cell in enumerate(cells))
    elif isinstance(value, type):
        return
    elif isinstance(value, nn.Module) or dataclasses.is_dataclass(value) or _walked(type(value)):
        yield from vars(value).items() if hasattr(value, "__dict__") else ()
        slots = (name for kind in type(value).__mro__ for name in getattr(kind, "__slots__", ()))
        yield from ((name, getattr(value, name)) for name in slots if hasattr(value, name) and name[:2] != "__")


def _walked(kind: type) -> bool:
    package = kind.__module__.partition(".")[0]
    return package not in (*LIBRARIES, *sys.stdlib_module_names) or kind.__module__.startswith("transformers.models")


# -- arguments and results ---------------------------------------------------------------------------------------------


def flatten(value: Any) -> tuple[list[Tensor], Any]:
    """The tensors of nested tuples and records, and the form to which `rebuild` gives them back; a form is JSON.

    Raises TypeError for anything else in them.
    """
    if value is None:
        return [], None
    if isinstance(value, Tensor):
        return [value], "tensor"
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        parts = [getattr(value, field.name) for field in dataclasses.fields(value)]
    elif isinstance(value, tuple):
        parts = list(value)
    else:
        raise TypeError(f"a program takes and gives tensors, not {type(value).__name__}")
    tensors, forms = [], []
    for part in parts:
        found, form = flatten(part)
        tensors += found
        forms.append(form)
    kind = type(value)
    return tensors, [f"{kind.__module__}:{kind.__qualname__}", forms]


def builder(form: Any) -> Callable[[Iterator[Any]], Any]:
    """A function that takes the tensors of `form` from an iterator and gives the value."""
    if form is None:
        return lambda tensors: None
    if form == "tensor":
        return lambda tensors: next(tensors)
    name, forms = form
    kind = resolve(name)
    parts = [builder(part) for part in forms]
    if kind is tuple:
        return lambda tensors: tuple([part(tensors) for part in parts])
    return lambda tensors: kind(*[part(tensors) for part in parts])


def resolve(name: str) -> Any:
    """The class `module:name`, which must be ours or tuple."""
    from pkgutil import resolve_name

    if name != "builtins:tuple" and name.partition(".")[0] not in OURS:
        raise ValueError(f"{name} is no class of a round's results")
    return resolve_name(name)

"""Checkpoint folders, local or from the hub: config.json and safetensors, never a file that runs code."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from safetensors import SafetensorError, safe_open

from drafters.checkpoints.other_formats import (
    describe_file,
    describe_folder,
    is_lfs_pointer,
    lfs_hint,
    read_header,
    unfinished_download,
)
from drafters.errors import InputError

if TYPE_CHECKING:  # names alone: folders are looked at by commands that load nothing
    from torch import Tensor, nn

WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"
ADAPTER = "adapter_model.safetensors"  # peft's, which is no model's
#: Bytes of one number in a safetensors file.
WIDTH = {"F64": 8, "I64": 8, "U64": 8, "F32": 4, "I32": 4, "U32": 4, "F16": 2, "BF16": 2, "I16": 2, "U16": 2}


def is_local(name: str) -> bool:
    """True for a folder of this machine, whose weights must then be in it."""
    return Path(name).expanduser().is_dir()


def resolve_folder(name: str, key: str, revision: str | None = None, *, weights: bool = True) -> Path:
    """The local folder of `name`: itself when it exists, else a snapshot of that hub repository.

    Raises InputError naming `key` when there is neither. With `weights=False` only the small files are fetched.
    """
    try:
        folder = Path(name).expanduser()
    except RuntimeError as error:  # no such user, or one whose home is not known
        raise InputError(f"{key} is {name!r}: ~ names no home folder here, expected a path without it") from error
    if folder.is_dir():
        return folder
    if folder.is_file():
        raise InputError(f"{key} is {name!r}: {describe_file(folder)}")
    if folder.is_absolute() or name.startswith(".") or name.count("/") != 1:
        raise InputError(f"{key} is {name!r}: no such folder, and no hub id of the form owner/name")
    from huggingface_hub import snapshot_download

    patterns = ["*.json", "*.jinja", "*.model", "*.txt"] + (["*.safetensors"] if weights else [])
    try:
        return Path(snapshot_download(name, revision=revision, allow_patterns=patterns))
    except Exception as error:  # the hub client's errors have no common base that is stable across versions
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise InputError(
            f"{key} is {name!r}: no such folder here, and the hub did not give it ({reason}); "
            f"set {key} to a local checkpoint folder"
        ) from error


def read_model_config(folder: Path, key: str) -> dict[str, Any]:
    """The folder's config.json. Raises InputError when it is missing or no JSON object."""
    path = folder / "config.json"
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        other = describe_folder(folder) or "has no config.json, expected a checkpoint folder"
        raise InputError(f"{key}: {folder} {other}") from error
    except OSError as error:
        raise InputError(f"{key}: {path} cannot be read ({error.strerror or error})") from error
    except (ValueError, RecursionError) as error:
        if is_lfs_pointer(path):
            raise InputError(f"{key}: {lfs_hint(path)}") from error
        raise InputError(f"{key}: {path} is not valid JSON ({error})") from error
    if not isinstance(config, dict):
        raise InputError(f"{key}: {path} holds a {type(config).__name__}, expected a JSON object")
    return config


def weight_files(folder: Path, key: str) -> list[Path]:
    """The folder's safetensors files. Raises InputError when there are none; other formats are never read."""
    if (folder / INDEX).is_file():
        try:
            index = json.loads((folder / INDEX).read_text(encoding="utf-8"))
            files = [folder / name for name in sorted(set(index["weight_map"].values()))]
        except (ValueError, KeyError, AttributeError, TypeError, RecursionError) as error:
            if is_lfs_pointer(folder / INDEX):
                raise InputError(f"{key}: {lfs_hint(folder / INDEX)}") from error
            raise InputError(f"{key}: {folder / INDEX} is no index of weights ({error!r})") from error
    elif (folder / WEIGHTS).is_file():
        files = [folder / WEIGHTS]
    else:
        files = [path for path in sorted(folder.glob("*.safetensors")) if path.name != ADAPTER]
    if not files or not all(path.is_file() for path in files):
        other = describe_folder(folder) if not files else None
        if other is not None:
            raise InputError(f"{key}: {folder} {other}")
        missing = ", ".join(path.name for path in files if not path.is_file()) or WEIGHTS
        left = unfinished_download(folder)
        hint = f" ({left} is an unfinished download: run it again)" if left else ""
        raise InputError(f"{key}: {folder} lacks {missing}; weights are read from safetensors files only{hint}")
    for path in files:
        check_file(path, key)
    return files


def check_file(path: Path, key: str) -> None:
    """Raise InputError for a weight file that is not whole; only its header is read."""
    with reading(path, key, "safetensors"):
        read_header(path)


@contextmanager
def reading(path: Path, key: str, kind: str) -> Iterator[None]:
    """Turn the errors of reading the weight file `path` of this `kind` into InputError; a Git LFS pointer is one."""
    try:
        if is_lfs_pointer(path):
            raise InputError(f"{key}: {lfs_hint(path)}")
        yield
    except OSError as error:
        raise InputError(f"{key}: {path} cannot be read ({error.strerror or error})") from error
    except InputError:
        raise
    except ValueError as error:
        raise InputError(f"{key}: {path} is no readable {kind} file: {error}") from error


class Stored(NamedTuple):
    """A tensor as a file's header describes it."""

    shape: tuple[int, ...]
    dtype: str  # safetensors' name, as "BF16"

    @property
    def is_float(self) -> bool:
        return self.dtype.startswith(("F", "BF"))


def stored_bytes(tensors: Mapping[str, Stored]) -> int:
    """Bytes of the tensors as stored; kinds of one byte or less count one."""
    return sum(math.prod(tensor.shape) * WIDTH.get(tensor.dtype, 1) for tensor in tensors.values())


def _readers(folder: Path, key: str) -> Iterator[Any]:
    for path in weight_files(folder, key):
        try:
            with safe_open(path, framework="pt") as reader:
                yield reader
        except (SafetensorError, OSError) as error:
            raise InputError(f"{key}: {path} is no readable safetensors file ({error})") from error


def stored_tensors(folder: Path, key: str, rename: Callable[[str], str | None] = str) -> dict[str, Stored]:
    """Shape and dtype of the folder's tensors by (renamed) name, from the headers alone. A name of None is left out."""
    found: dict[str, Stored] = {}
    for reader in _readers(folder, key):
        for name in reader.keys():  # noqa: SIM118  (a reader is no mapping)
            if (ours := rename(name)) is not None:
                part = reader.get_slice(name)
                found[ours] = Stored(tuple(part.get_shape()), part.get_dtype())
    return found


def read_tensors(folder: Path, key: str, rename: Callable[[str], str | None] = str) -> dict[str, Tensor]:
    """The folder's tensors by (renamed) name. A name of None is left out."""
    tensors: dict[str, Tensor] = {}
    for reader in _readers(folder, key):
        for name in reader.keys():  # noqa: SIM118
            if (ours := rename(name)) is not None:
                tensors[ours] = reader.get_tensor(name)
    return tensors


def expected_tensors(module: nn.Module) -> dict[str, Stored]:
    """The tensors that a checkpoint of `module` must hold; their dtypes tell only floating from whole numbers."""
    return {
        name: Stored(tuple(tensor.shape), "F32" if tensor.is_floating_point() else "I64")
        for name, tensor in module.state_dict().items()
    }


def tensor_problems(expected: Mapping[str, Stored], found: Mapping[str, Stored]) -> list[str]:
    """Every way in which `found` differs from `expected`, one short line each."""
    missing = {name: expected[name] for name in expected.keys() - found.keys()}
    unknown = {name: found[name] for name in found.keys() - expected.keys()}
    if found and len(unknown) == len(found):
        return [
            f"none of the {len(found)} tensors ({min(found)}, ...) is one that config.json describes "
            f"({min(expected)}, ...); do the two belong together?"
        ]
    problems = []
    for name in sorted(missing):
        twins = [other for other in sorted(unknown) if unknown[other].shape == missing[name].shape]
        alike = [other for other in missing if missing[other].shape == missing[name].shape]
        if len(twins) == 1 and len(alike) == 1:
            problems.append(f"{twins[0]} should be named {name}")
            del unknown[twins[0]]
        else:
            problems.append(f"{name} is missing")
    problems += [f"{name} is unknown" for name in sorted(unknown)]
    for name in sorted(expected.keys() & found.keys()):
        mine, wanted = found[name], expected[name]
        if mine.shape != wanted.shape:
            problems.append(f"{name} is {list(mine.shape)}, expected {list(wanted.shape)}")
        elif mine.is_float != wanted.is_float:
            problems.append(f"{name} holds {mine.dtype}, expected {'floating' if wanted.is_float else 'whole'} numbers")
    return problems


def refuse(problems: Iterable[str], where: str) -> None:
    """Raise an InputError that names the first of `problems`, if there are any."""
    listed = list(problems)
    if listed:
        more = f" (and {len(listed) - 4} more)" if len(listed) > 4 else ""
        raise InputError(f"{where}: the weights do not fit config.json: {'; '.join(listed[:4])}{more}")

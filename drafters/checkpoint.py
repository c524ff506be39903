"""Reading checkpoint folders: config.json and safetensors, local or from the hub, and nothing that runs code."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from safetensors import safe_open
from torch import Tensor, nn

from drafters.errors import InputError

WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"


def resolve_folder(name: str, key: str, revision: str | None = None, *, weights: bool = True) -> Path:
    """The local folder of `name`: itself when it exists, else a snapshot of that hub repository.

    Raises InputError naming `key` when there is neither. With `weights=False` only the small files are fetched.
    """
    folder = Path(name).expanduser()
    if folder.is_dir():
        return folder
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


def read_config(folder: Path, key: str) -> dict[str, Any]:
    """The folder's config.json. Raises InputError when it is missing or no JSON object."""
    path = folder / "config.json"
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InputError(f"{key}: {folder} has no config.json, expected a checkpoint folder") from error
    except ValueError as error:
        raise InputError(f"{key}: {path} is not valid JSON ({error})") from error
    if not isinstance(config, dict):
        raise InputError(f"{key}: {path} holds a {type(config).__name__}, expected a JSON object")
    return config


def weight_files(folder: Path, key: str) -> list[Path]:
    """The folder's safetensors files. Raises InputError when there are none; other formats are never read."""
    if (folder / INDEX).is_file():
        names = sorted(set(json.loads((folder / INDEX).read_text(encoding="utf-8"))["weight_map"].values()))
        files = [folder / name for name in names]
    elif (folder / WEIGHTS).is_file():
        files = [folder / WEIGHTS]
    else:
        files = sorted(folder.glob("*.safetensors"))
    if not files or not all(path.is_file() for path in files):
        missing = ", ".join(path.name for path in files if not path.is_file()) or WEIGHTS
        raise InputError(f"{key}: {folder} lacks {missing}; weights are read from safetensors files only")
    return files


def read_tensors(folder: Path, key: str) -> dict[str, Tensor]:
    """All tensors of the folder by name, with an optional `model.` prefix removed."""
    tensors: dict[str, Tensor] = {}
    for path in weight_files(folder, key):
        with safe_open(path, framework="pt") as reader:
            for name in reader.keys():  # noqa: SIM118  (a reader is no mapping)
                tensors[name.removeprefix("model.")] = reader.get_tensor(name)
    return tensors


def load_exactly(module: nn.Module, tensors: dict[str, Tensor], where: str) -> None:
    """Fill `module` with `tensors`; a missing, unknown or misshapen one is an InputError that names it."""
    expected = module.state_dict()
    missing = sorted(expected.keys() - tensors.keys())
    unknown = sorted(tensors.keys() - expected.keys())
    misshapen = [
        f"{name} is {tuple(tensors[name].shape)}, expected {tuple(expected[name].shape)}"
        for name in sorted(expected.keys() & tensors.keys())
        if tensors[name].shape != expected[name].shape
    ]
    problems = (
        [f"missing {', '.join(missing[:4])}{' and more' if len(missing) > 4 else ''}"] * bool(missing)
        + [f"unknown {', '.join(unknown[:4])}{' and more' if len(unknown) > 4 else ''}"] * bool(unknown)
        + misshapen[:4]
    )
    if problems:
        raise InputError(f"{where}: the weights do not fit config.json: " + "; ".join(problems))
    module.load_state_dict(tensors, assign=True)

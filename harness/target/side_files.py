"""Checks the files beside a target's weights before they are used: tokenizer, chat template and generation config.

transformers ignores a generation_config.json that it cannot read, and with it the token that ends a turn; it takes any
text as a chat template.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from drafters.checkpoints.other_formats import is_lfs_pointer, lfs_hint
from drafters.errors import InputError
from drafters.geometry import text_config

GENERATION = "generation_config.json"
OBJECTS = (GENERATION, "tokenizer_config.json")
TOKENIZER = "tokenizer.json"
OTHERS = (TOKENIZER, "chat_template.jinja", "tokenizer.model")


def check_side_files(folder: Path, raw: dict[str, Any], key: str) -> list[str]:
    """Notes on the files beside the weights. Raises InputError for one that is not what its name says."""
    for name in (*OBJECTS, *OTHERS):
        if (folder / name).is_file() and is_lfs_pointer(folder / name):
            raise InputError(f"{key}: {lfs_hint(folder / name)}")
    if (folder / TOKENIZER).is_file() and not ends_whole(folder / TOKENIZER):
        raise InputError(f"{key}: {folder / TOKENIZER} is cut off: it does not end an object; download it again")
    generation = {name: read_object(folder / name, key) for name in OBJECTS}[GENERATION]
    text = text_config(raw)
    ends = {GENERATION: generation.get("eos_token_id"), "config.json": text.get("eos_token_id")}
    for name, value in ends.items():
        check_tokens(value, int(text["vocab_size"]), f"{key}: eos_token_id in {folder / name}")
    if not any(value is not None and value != [] for value in ends.values()):
        return [f"neither {GENERATION} nor config.json names an eos_token_id: answers end at max_new_tokens alone"]
    return []


def ends_whole(path: Path) -> bool:
    """Whether the file ends like a JSON object. A tokenizer has tens of megabytes, too many to parse twice."""
    with path.open("rb") as stream:
        stream.seek(max(0, path.stat().st_size - 64))
        return stream.read().rstrip().endswith(b"}")


def read_object(path: Path, key: str) -> dict[str, Any]:
    """The JSON object in `path`, empty where there is no such file."""
    if not path.is_file():
        return {}
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{key}: {path} cannot be read ({error.strerror or error})") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{key}: {path} is not valid JSON ({error})") from error
    if not isinstance(value, dict):
        raise InputError(f"{key}: {path} holds a {type(value).__name__}, expected a JSON object")
    return value


def check_tokens(value: Any, vocab_size: int, what: str) -> None:
    """Raise InputError unless `value` is None, a token or a list of tokens of the vocabulary."""
    for token in value if isinstance(value, list) else [] if value is None else [value]:
        if isinstance(token, bool) or not isinstance(token, int) or not 0 <= token < vocab_size:
            raise InputError(f"{what} is {value!r}, expected tokens from 0 to {vocab_size - 1} (the vocabulary)")

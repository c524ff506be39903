"""A target's vocabulary as GGUF values.

llama.cpp splits and joins text by it; the harness hands over token ids, so that only their number, the special ones
and the end tokens matter to a run.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from drafters.errors import InputError
from harness.engines.gguf.content import Value
from harness.target.files import end_token_ids
from harness.target.side_files import TOKENIZER, read_object

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = 1, 2, 3, 4, 5, 6
#: Special tokens that llama.cpp's chat parser must see in the text.
VISIBLE = {"<|channel>", "<channel|>", "<|tool_call>", "<tool_call|>", "<tool_response|>", '<|"|>'}
NAMED = {"bos_token": "bos", "eos_token": "eos", "pad_token": "padding", "unk_token": "unknown", "mask_token": "mask"}


def vocabulary_values(folder: Path, size: int, key: str) -> dict[str, Value]:
    """The `tokenizer.*` values of the target in `folder`, whose embedding has `size` rows.

    Raises InputError where it has no tokenizer.json, or one that is no byte-pair encoding.
    """
    if not (folder / TOKENIZER).is_file():
        raise InputError(f"{key}: {folder} has no {TOKENIZER}, which a GGUF holds; name its target's folder")
    tokenizer = read_object(folder / TOKENIZER, key)
    model = tokenizer.get("model")
    if not isinstance(model, dict) or model.get("type") != "BPE" or not isinstance(model.get("vocab"), dict):
        kind = model.get("type") if isinstance(model, dict) else model
        raise InputError(f"{key}: {folder / TOKENIZER} holds a tokenizer of type {kind!r}, expected 'BPE'")
    added = {int(token["id"]): token for token in tokenizer.get("added_tokens") or []}
    ids = {text: int(index) for text, index in model["vocab"].items()} | {t["content"]: i for i, t in added.items()}
    if max(ids.values()) >= size:
        raise InputError(
            f"{key}: {folder / TOKENIZER} has a token {max(ids.values())}, expected less than vocab_size={size}"
        )
    texts = {index: text for text, index in ids.items()}
    byte_level = not model.get("byte_fallback")
    values: dict[str, Value] = {
        "tokenizer.ggml.model": "gpt2" if byte_level else "gemma4",
        "tokenizer.ggml.tokens": [texts.get(index, f"[PAD{index}]") for index in range(size)],
        "tokenizer.ggml.token_type": [_kind(texts.get(index), added.get(index)) for index in range(size)],
        "tokenizer.ggml.merges": [_merge(pair) for pair in model.get("merges") or []],
        "tokenizer.ggml.add_bos_token": not byte_level,
        "tokenizer.ggml.add_space_prefix": False,
    }
    if byte_level:
        values["tokenizer.ggml.pre"] = "default"
    else:
        values["tokenizer.ggml.scores"] = [-1000.0] * size
    return values | _special(folder, ids, key) | _template(folder)


def _kind(text: str | None, added: dict[str, Any] | None) -> int:
    """llama.cpp's type of a token."""
    if text is None:
        return UNUSED
    if added is not None:
        return CONTROL if added.get("special") and text not in VISIBLE else USER_DEFINED
    return BYTE if len(text) == 6 and text.startswith("<0x") and text.endswith(">") else NORMAL


def _merge(pair: Any) -> str:
    return pair if isinstance(pair, str) else " ".join(pair)


def _special(folder: Path, ids: dict[str, int], key: str) -> dict[str, Value]:
    """Ids of the named tokens. The end token is the first that the target's own configuration names."""
    named = read_object(folder / "tokenizer_config.json", key)
    found: dict[str, Value] = {}
    for entry, name in NAMED.items():
        text = named.get(entry)
        text = text.get("content") if isinstance(text, dict) else text
        if text in ids:
            found[f"tokenizer.ggml.{name}_token_id"] = ids[text]
    generation = read_object(folder / "generation_config.json", key)
    config = read_object(folder / "config.json", key)
    ends = end_token_ids(generation.get("eos_token_id"), (config.get("text_config") or config).get("eos_token_id"))
    if ends:
        found["tokenizer.ggml.eos_token_id"] = int(ends[0])
    if len(ends) > 1:
        found["tokenizer.ggml.eot_token_id"] = int(ends[1])
    return found


def _template(folder: Path) -> dict[str, Value]:
    """The chat template, from its own file or from tokenizer_config.json."""
    if (path := folder / "chat_template.jinja").is_file():
        return {"tokenizer.chat_template": path.read_text(encoding="utf-8")}
    if (path := folder / "tokenizer_config.json").is_file():
        template = json.loads(path.read_text(encoding="utf-8")).get("chat_template")
        return {"tokenizer.chat_template": template} if isinstance(template, str) else {}
    return {}

"""A tiny random pair as checkpoint folders, with a tokenizer and prompts, for tests that go the whole way."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from tests.helpers import published_folders as published
from tests.helpers import tiny_models as tiny

VOCAB = 96
MARKS = ["<pad>", "<end>", "<start>", "<user>", "<mask>", "<assistant>", "<system>", "<think>"]
TEMPLATE = (
    "<start>{% if enable_thinking %}<think>{% endif %}"
    "{% for m in messages %}<{{ m.role }}>{{ m.content }}<end>{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)
ALPHABET = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 .,?!+-=*/:'#\n"


def tokenizer() -> Any:
    """Marks at ids 0 to 7, then one token per character; unknown characters become `#`."""
    vocabulary = {mark: index for index, mark in enumerate(MARKS)}
    vocabulary |= {char: len(MARKS) + index for index, char in enumerate(ALPHABET)}
    vocabulary |= {f"<extra{index}>": index for index in range(len(vocabulary), VOCAB)}
    inner = Tokenizer(models.WordLevel(vocab=vocabulary, unk_token="#"))
    inner.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    inner.decoder = decoders.Fuse()
    inner.add_special_tokens(MARKS)
    return PreTrainedTokenizerFast(
        tokenizer_object=inner, bos_token="<start>", eos_token="<end>", pad_token="<pad>", chat_template=TEMPLATE
    )


def write_pair(folder: Path, dflash: Mapping[str, Any] | None = None, **overrides: Any) -> dict[str, str]:
    """Write target, assistant and DFlash drafter below `folder`; their paths by name. `overrides` are the target's."""
    target = tiny.target_model(vocab_size=VOCAB, vocab_size_per_layer_input=VOCAB, **overrides)
    paths = {name: str(folder / name) for name in ("target", "mtp", "dflash")}
    target.generation_config.eos_token_id = 1
    target.save_pretrained(paths["target"])
    tokenizer().save_pretrained(paths["target"])
    tiny.assistant_model(target).save_pretrained(paths["mtp"])
    published.write_dflash(Path(paths["dflash"]), tiny.dflash_model(target, **(dflash or {})))
    return paths


def write_short_pair(folder: Path, **overrides: Any) -> dict[str, str]:
    """The same with three layers, of every kind of attention: a pass takes three quarters of the time."""
    taps = {"num_target_layers": 3, "target_layer_ids": (0, 1, 2)}
    return write_pair(folder, taps, num_hidden_layers=3, layer_types=[tiny.S, tiny.S, tiny.F], **overrides)


def write_prompts(path: Path, count: int = 4, turns: int = 1) -> str:
    rows = [
        {
            "prompt_id": f"p{i}",
            "category": "odd" if i % 2 else "even",
            "turns": [f"what is {i} + {t}?" for t in range(turns)],
        }
        for i in range(count)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)

"""Describes a GGUF file from its header, one fact a line."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

from harness.engines.gguf.fit import MARKOV, ROLES, geometry, max_draft_tokens, spec_type, vocabulary_size
from harness.engines.gguf.gemma import GEMMA4, GEMMA4_ASSISTANT
from harness.engines.gguf.read import Header
from harness.target.describe import FAMILY, Facts

NAMED_TOKENS = ("bos", "eos", "eot", "padding", "unknown", "mask")


def facts_of(header: Header) -> Facts:
    """Role, sizes, types and vocabulary. Raises InputError for a header that leaves its sizes open."""
    layers, width = header.whole("block_count"), header.whole("embedding_length")
    facts: Facts = [("is", _role(header, layers, width))]
    if (name := header.values.get("general.name")) is not None:
        facts.append(("name", str(name)))
    facts += _layers(header, layers, width)
    if header.architecture == GEMMA4:
        facts += _target(header)
    elif header.architecture == GEMMA4_ASSISTANT:
        facts += [
            ("fits", f"targets of width {header.get('embedding_length_out')}"),
            ("k", "any; one pass per token"),
            ("scores", "every token"),
        ]
    else:
        facts += _block(header)
    return facts + _stored(header) + _tokens(header)


def _role(header: Header, layers: int, width: int) -> str:
    kind = ROLES.get(header.architecture)
    if kind is None:
        return f"a target: {FAMILY.get((width, layers), 'a Gemma 4 of no published size')} ({header.architecture})"
    return f"a drafter for {kind}: {_layout(header)} ({header.architecture})"


def _layout(header: Header) -> str:
    if header.architecture == GEMMA4_ASSISTANT:
        return "Google MTP assistant"
    if MARKOV in header.tensors:
        return "DSpark"
    return "DFlash 2" if "selector_hidden.weight" in header.tensors else "DFlash"


def _layers(header: Header, layers: int, width: int) -> Facts:
    slides = list(header.get("attention.sliding_window_pattern") or [False] * layers)[:layers]
    kinds = f"{sum(map(bool, slides))} sliding, {layers - sum(map(bool, slides))} full"
    facts: Facts = [("layers", f"{layers}: {kinds}"), ("width", f"{width}, vocabulary {vocabulary_size(header)}")]
    if any(slides):
        window, context = header.get("attention.sliding_window"), header.get("context_length")
        facts.append(("window", f"{window} of {context} positions"))
    return facts


def _target(header: Header) -> Facts:
    facts: Facts = [(f"{kind} keys", f"{heads} heads of {dim}") for kind, (dim, heads) in geometry(header).items()]
    if shared := header.get("attention.shared_kv_layers"):
        facts.append(("shared keys", f"the last {shared} layers read those of earlier ones"))
    if experts := header.get("expert_count"):
        facts.append(("experts", f"{experts}, {header.get('expert_used_count')} at a time"))
    return facts


def _block(header: Header) -> Facts:
    taps = ", ".join(str(int(layer) - 1) for layer in header.get("target_layers") or [])
    scale = header.get("embedding_scale")
    return [
        ("fits", f"targets of width {header.whole('embedding_length')}"),
        ("taps", f"outputs of target layers {taps}"),
        ("k", f"1 to {max_draft_tokens(header)} from one pass of a block of {header.whole('block_size')}"),
        ("block input", f"{_owner(header, 'token_embd.weight')} embedding times {1 if scale is None else scale:g}"),
        ("head", _owner(header, "output.weight")),
        ("in a block", "slots see the slots before them" if header.get("attention.causal") else "slots see each other"),
        ("llama.cpp", f"--spec-type {spec_type(header)}"),
    ]


def _owner(header: Header, name: str) -> str:
    return "its own" if name in header.tensors else "the target's"


def _stored(header: Header) -> Facts:
    """Tensors, parameters and the share of each type, by numbers."""
    numbers: Counter[str] = Counter()
    for tensor in header.tensors.values():
        numbers[tensor.type] += math.prod(tensor.shape)
    total = sum(numbers.values())
    kinds = ", ".join(f"{kind} ({count / total:.1%})" for kind, count in numbers.most_common())
    parts = f" in {header.parts} files" if header.parts > 1 else ""
    return [
        ("tensors", str(len(header.tensors))),
        ("parameters", f"{total / 1e6:,.2f} million"),
        ("stored", f"{header.bytes / 1e9:,.3f} GB{parts} as {kinds}"),
    ]


def _tokens(header: Header) -> Facts:
    values: dict[str, Any] = header.values
    ids = [f"{n} {values[k]}" for n in NAMED_TOKENS if (k := f"tokenizer.ggml.{n}_token_id") in values]
    template = "with" if "tokenizer.chat_template" in values else "without"
    named = ", ".join(ids) or "no token named"
    return [("tokenizer", f"{values.get('tokenizer.ggml.model')}, {named}, {template} a chat template")]

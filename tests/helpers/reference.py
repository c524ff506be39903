"""What the tests compare with: tiny targets and transformers' own greedy answers, each made once per process."""

from __future__ import annotations

import functools
from typing import Any

import torch
from torch import Tensor
from transformers import TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

from drafters.base import Drafter, Sampling
from harness import load_drafter, load_target
from harness.target.target import Target
from tests.helpers import tiny_models as tiny
from tests.helpers.steered_drafter import Steered

LONG = 96  # tokens of a reference answer; shorter greedy answers are its beginnings
DRAFTERS = ("mtp", "dflash", "lookup", "oracle", "random")


@functools.cache
def target(structure: str) -> Target:
    return load_target(tiny.target_model(structure))


def transformers_greedy(model: Any, prompt: list[int], tokens: int, **options: Any) -> list[int]:
    """The answer of `model.generate(do_sample=False)`, prompt excluded."""
    out = model.generate(torch.tensor([prompt]), do_sample=False, max_new_tokens=tokens, **options)
    return out[0, len(prompt) :].tolist()


@functools.cache
def _answer(structure: str, length: int, seed: int) -> tuple[int, ...]:
    return tuple(transformers_greedy(target(structure).model, tiny.prompt(length, seed), LONG))


def answer(structure: str, length: int, seed: int = 0) -> list[int]:
    """Transformers' greedy answer of LONG tokens to `tiny.prompt(length, seed)`."""
    return list(_answer(structure, length, seed))


def drafter(name: str, structure: str, **options: Any) -> Drafter:
    """A fresh drafter for the structure's target, with seeded random weights where it has any."""
    model = target(structure).model
    networks = {"mtp": tiny.assistant_model, "dflash": tiny.dflash_model}
    return load_drafter(name, networks[name](model) if name in networks else None, target=target(structure), **options)


def steered(name: str, structure: str, length: int, seed: int = 0, **options: Any) -> Any:
    """The drafter with its tokens steered by the reference answer to `tiny.prompt(length, seed)`."""
    return Steered(drafter(name, structure, **options), tiny.prompt(length, seed) + answer(structure, length, seed))


def transformers_probs(logits: Tensor, sampling: Sampling) -> Tensor:
    """Probabilities [N, V] after transformers' own warpers on `logits` [N, V]."""
    ids: Tensor = torch.zeros(len(logits), 1, dtype=torch.long)
    scores = TemperatureLogitsWarper(sampling.temperature)(ids, logits)  # type: ignore[arg-type]
    if sampling.top_k is not None:
        scores = TopKLogitsWarper(sampling.top_k)(ids, scores)  # type: ignore[arg-type]
    if sampling.top_p is not None and sampling.top_p < 1:
        scores = TopPLogitsWarper(sampling.top_p)(ids, scores)  # type: ignore[arg-type]
    return scores.softmax(dim=-1)

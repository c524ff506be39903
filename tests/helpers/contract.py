"""A drafter under check on a target of two layers, whose passes cost a third of the other tiny models'."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from drafters.registry import Kind
from harness import load_target
from harness.decoding.contract.subject import Subject
from harness.target.target import Target
from tests.helpers import tiny_models as tiny

PROMPTS = [tiny.prompt(14, 1), tiny.prompt(9, 2), tiny.prompt(11, 3)]
TOKENS = 10


@functools.cache
def small_target() -> Target:
    """A target for these checks alone, since some drafters write to it."""
    layers = ["sliding_attention", "full_attention"]
    return load_target(tiny.target_model("dense_k_eq_v", num_hidden_layers=len(layers), layer_types=layers))


@functools.cache
def answers(block: int) -> list[list[int]]:
    return Subject(small_target(), Kind("none"), lambda: Limited(block), PROMPTS, TOKENS).answers


class Limited:
    """Enough of a drafter to know how long answers must be."""

    def __init__(self, block: int) -> None:
        self.max_draft_tokens = block


def small_subject(make: Callable[[], Any], kind: Kind) -> Subject:
    """The drafter that `make` gives, for short answers of the small target."""
    subject = Subject(small_target(), kind, make, PROMPTS, TOKENS)
    subject.answers = answers(subject.block)
    return subject

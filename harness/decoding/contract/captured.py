"""A round as compiled and captured programs run it: traced once over tensors, and then replayed.

A trace cannot hold a number that the host reads, and it repeats for ever what the host chose when it was made: a
drafter that counts in Python drafts otherwise in a compiled run than in an eager one. The trace is that of the compiler
(`harness.decoding.compiled.capture`); it is replayed operation by operation, without compiling.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from drafters.gemma4 import position_addressed_attention
from harness.decoding.compiled.capture import Shape, capture
from harness.decoding.compiled.state import State, builder, flatten
from harness.decoding.contract.subject import Subject, opened, read
from harness.decoding.decoder import Decoder

ROUNDS = 5


class Untraceable(Exception):
    """A call that cannot be traced."""


def traced(decoder: Decoder, function: Callable[..., Any], *arguments: Any) -> Callable[..., Any]:
    """The trace of a program of `decoder` over such `arguments`. Raises Untraceable."""
    state = State(decoder.state())
    tensors, form = flatten(arguments)

    def run(*args: Any) -> Any:
        with position_addressed_attention(decoder.target.config):
            return function(*args)

    try:
        taken = capture(run, [Shape.of(tensor) for tensor in tensors], builder(form), state)
    except Exception as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:160]
        raise Untraceable(f"{function.__name__} cannot be captured ({reason})") from error
    held = {name: state.tensors[path] for name, path in taken.names.items()} | taken.literals
    for name, tensor in held.items():
        delattr(taken.graph, name)  # its shape
        setattr(taken.graph, name, tensor)
    build = builder(taken.form)

    def replay(*args: Any) -> Any:
        return build(iter(taken.graph(*flatten(args)[0])))

    return replay


def unlike_captured(subject: Subject) -> str | None:
    """The first call that cannot be captured, or the first round of another prompt that drafts otherwise when replayed.

    A run captures its rounds once, before its first prompt.
    """
    first, other, *_ = subject.prompts
    eager, decoder = (opened(subject, subject.make(), subject.k, first) for _ in range(2))
    with torch.inference_mode(), position_addressed_attention(subject.target.config):
        try:
            propose = traced(decoder, decoder.propose)
            # What `observe` takes comes from the other decoder, so that this one makes no step.
            observe = traced(decoder, decoder.observe, *eager.verify(eager.propose())[:2])
        except Untraceable as error:
            return str(error)
    eager = opened(subject, subject.make(), subject.k, first)
    for one in (eager, decoder):
        read(subject, one, other)
    with torch.inference_mode(), position_addressed_attention(subject.target.config):
        for index in range(ROUNDS):
            own, replayed = eager.propose(), propose()
            counts = [subject.k if one.count is None else int(one.count[0]) for one in (own, replayed)]
            mine, others = (one.tokens[0].tolist()[:n] for one, n in zip((own, replayed), counts, strict=True))
            if mine != others:
                return f"round {index}: {mine}, captured {others}"
            eager.observe(*eager.verify(own)[:2])
            observe(*decoder.verify(replayed)[:2])
    return None

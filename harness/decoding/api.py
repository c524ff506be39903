"""The Python entry point: load a target, load a drafter, generate."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Protocol, overload

from drafters.base import Drafter, Replays, Sampling
from drafters.errors import InputError
from drafters.registry import resolve_draft_tokens
from harness.config.checks import LARGEST, LARGEST_SEED, LEAST_TEMPERATURE, is_temperature
from harness.config.synthetic import check_count, check_rates
from harness.decoding.decoder import DecodeSettings
from harness.decoding.loop import decode
from harness.decoding.text import Message, Prompt, is_single, is_text, to_text, to_token_ids
from harness.records.rounds import Generation
from harness.target.target import Target
from harness.vocabulary import VERIFICATIONS


def check_sampling(temperature: float, top_k: int | None, top_p: float | None) -> Sampling:
    """The sampling settings. Raises InputError naming the one that is out of range."""
    if not is_temperature(temperature):
        raise InputError(
            f"decoding.temperature is {temperature}, expected 0 (greedy) or more: a finite number from "
            f"{LEAST_TEMPERATURE} on"
        )
    if top_k is not None and not 1 <= top_k <= LARGEST:
        raise InputError(f"decoding.top_k is {top_k}, expected at least 1, or null for off")
    if top_p is not None and not 0 < top_p <= 1:
        raise InputError(f"decoding.top_p is {top_p}, expected more than 0 and at most 1, or null for off")
    return Sampling(float(temperature), top_k, top_p)


class Bounded(Protocol):
    """A target, loaded or described: the tokens it knows and the positions it has."""

    @property
    def vocab_size(self) -> int: ...
    @property
    def max_positions(self) -> int: ...


def check_prompts(prompts: Sequence[Sequence[int]], target: Bounded, max_new_tokens: int, k: int) -> None:
    """Raise InputError for a prompt that is empty, outside the vocabulary or too long for the target's context."""
    if not 1 <= max_new_tokens <= LARGEST:
        raise InputError(f"max_new_tokens is {max_new_tokens}, expected at least 1")
    if k > target.max_positions:
        raise InputError(f"num_draft_tokens is {k}, expected at most {target.max_positions}, the target's context")
    if not prompts:
        raise InputError("prompt_ids is empty, expected token ids or a list of prompts")
    for index, prompt in enumerate(prompts):
        if not prompt:
            raise InputError(f"prompt {index} is empty, expected at least one token")
        if not all(0 <= token < target.vocab_size for token in prompt):
            raise InputError(f"prompt {index} holds a token outside 0 to {target.vocab_size - 1} (the vocabulary)")
        if len(prompt) + max_new_tokens > target.max_positions:
            raise InputError(
                f"prompt {index} has {len(prompt)} tokens and max_new_tokens is {max_new_tokens}, together more than "
                f"the target's context of {target.max_positions}; lower max_new_tokens or drop the prompt"
            )


@overload
def generate(  # type: ignore[overload-overlap]
    target: Target, drafter: Drafter | None, prompt_ids: list[int] | str | list[Message], **options: object
) -> Generation: ...
@overload
def generate(
    target: Target, drafter: Drafter | None, prompt_ids: Sequence[Prompt], **options: object
) -> list[Generation]: ...
def generate(  # type: ignore[misc]
    target: Target,
    drafter: Drafter | None,
    prompt_ids: Prompt | Sequence[Prompt],
    *,
    num_draft_tokens: int | None = None,
    max_new_tokens: int = 64,
    temperature: float = 0.0,
    top_k: int | None = None,
    top_p: float | None = None,
    seed: int = 0,
    eos_token_ids: Sequence[int] = (),
    verification: str = "rejection",
    batch_size: int | None = None,
    capacity: int = 0,
    synthetic_acceptance: Sequence[float] = (),
) -> Generation | list[Generation]:
    """Decode one prompt, or a list of prompts as one batch; `drafter=None` is the baseline.

    A prompt is a list of token ids, a string (raw text) or a list of messages, `{"role": "user", "content": "..."}`,
    which go through the target's chat template. Text and messages end at the target's own end tokens, token ids at
    `eos_token_ids` alone. `Generation.text` is the answer as text.

    Row i of a batch is sampled with `seed + i`, so it draws the same alone and in a batch. `num_draft_tokens` defaults
    to the drafter's own; `capacity` reserves positions for later, longer calls. Times in the returned `Generation` are
    in seconds.

    `synthetic_acceptance` accepts drafts at these rates per position without comparing them, while every pass still
    runs: for planning on random weights. The output is then no answer.

    Raises InputError for settings or prompts that cannot be run, ScoresError for scores that are NaN or infinite.
    """
    if verification not in VERIFICATIONS:
        raise InputError(f"decoding.verification is {verification!r}, expected one of {', '.join(VERIFICATIONS)}")
    if batch_size is not None and not 1 <= batch_size <= LARGEST:
        raise InputError(f"batch_size is {batch_size}, expected at least 1, or None for all prompts at once")
    if not 0 <= capacity <= LARGEST:
        raise InputError(f"capacity is {capacity}, expected 0 or more")
    if not 0 <= seed <= LARGEST_SEED:
        raise InputError(f"seed is {seed}, expected 0 or more, and at most {LARGEST_SEED} (64 bits)")
    sampling = check_sampling(temperature, top_k, top_p)
    k = 0 if drafter is None else resolve_draft_tokens(drafter.name, num_draft_tokens, drafter.max_draft_tokens)
    single = is_single(prompt_ids)
    given: list[Prompt] = [prompt_ids] if single else list(prompt_ids)  # type: ignore[list-item, arg-type]
    if not eos_token_ids and any(map(is_text, given)):
        eos_token_ids = target.eos_token_ids
    prompts = [to_token_ids(target, prompt) for prompt in given]
    check_prompts(prompts, target, max_new_tokens, k)
    rates = check_rates(synthetic_acceptance)
    check_count(rates, k, drafter.name if drafter is not None else "baseline")
    settings = DecodeSettings(k, max_new_tokens, sampling, verification, tuple(eos_token_ids), rates)
    if isinstance(drafter, Replays):
        plain = DecodeSettings(0, max_new_tokens, sampling, verification, tuple(eos_token_ids))
        known = decode(target, None, prompts, plain, seed=seed, batch_size=batch_size)
        drafter.replay([generation.token_ids for generation in known])
    generations = decode(target, drafter, prompts, settings, seed=seed, batch_size=batch_size, capacity=capacity)
    for generation in generations:
        generation.reader = partial(to_text, target)
    return generations[0] if single else generations

"""An engine's answer to one prompt in the engine's own words, and the checks before any of it is believed.

Only known good endings are taken. An answer that broke off, or whose parts contradict each other, is an error: its
tokens are not those that were asked for, so its acceptance and its times are no figures.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from harness.engines.worker import EngineError

#: The finish reasons of a whole answer. vLLM also knows abort, error and repetition.
WHOLE = ("stop", "length")


@dataclass(slots=True)
class Answer:
    """`steps` [steps][tokens] as they came, `at` [steps] when [s after the request], `finish` the engine's own word.

    `prompt_tokens` and `new_tokens` are the engine's own counts, None where it gives none. `drafts` are the counts of
    each drafting step.
    """

    steps: list[list[int]] = field(default_factory=list)
    at: list[float] = field(default_factory=list)
    finish: Any = None
    prompt_tokens: Any = None
    new_tokens: Any = None
    drafts: Mapping[str, Any] | None = None

    @property
    def tokens(self) -> list[int]:
        return [token for step in self.steps for token in step]


def finish_reason(answer: Answer, prompt_tokens: int, max_new_tokens: int, ends: Sequence[int]) -> str:
    """`eos` or `length`. Raises EngineError unless the answer is whole and agrees with itself and with the request."""
    tokens = answer.tokens
    count = len(tokens)
    wrong = [token for token in tokens if not is_count(token)]
    if wrong:
        raise EngineError(f"the engine returned {wrong[0]!r} as a token id, expected integers from 0")
    if answer.finish is None:
        raise EngineError(f"the answer broke off after {count} tokens, without a finish reason")
    if answer.finish not in WHOLE:
        raise EngineError(
            f"the engine ended the answer after {count} tokens with finish reason {answer.finish!r}, "
            f"expected {' or '.join(WHOLE)}"
        )
    if not count:
        raise EngineError("the engine finished without a single token id")
    for name, counted, here in (
        ("new tokens", answer.new_tokens, count),
        ("prompt tokens", answer.prompt_tokens, prompt_tokens),
    ):
        if counted is not None and counted != here:
            raise EngineError(f"the engine counted {counted!r} {name} where there are {here}")
    early = next((place for place, token in enumerate(tokens[:-1]) if token in ends), None)
    if early is not None:
        raise EngineError(
            f"the engine went on after end token {tokens[early]} at place {early + 1} of {count}: it ignores "
            "stop_token_ids"
        )
    ended = tokens[-1] in ends
    if answer.finish == "stop" and not ended:
        raise EngineError(
            f"the engine stopped after {count} tokens at token {tokens[-1]}, which is no end token of the target"
        )
    if count > max_new_tokens or (count < max_new_tokens and not ended):
        raise EngineError(
            f"the engine reports its length limit after {count} tokens, expected {max_new_tokens}: its own limit "
            "(max_model_len, or max_new_tokens in a generation config) is another one"
        )
    return "eos" if ended else "length"


def draft_counts(drafts: Mapping[str, Any]) -> tuple[list[int], list[int]]:
    """Drafted and accepted tokens of each drafting step. Raises EngineError for counts that cannot be."""
    drafted, accepted = drafts.get("drafted"), drafts.get("accepted")
    if (
        not isinstance(drafted, list)
        or not isinstance(accepted, list)
        or len(drafted) != len(accepted)
        or not all(is_count(value) for value in [*drafted, *accepted])
        or any(taken > made for made, taken in zip(drafted, accepted, strict=True))
    ):
        raise EngineError(
            f"the engine's counts per step are drafted {drafted!r:.200} and accepted {accepted!r:.200}, "
            "expected two lists of equal length with 0 <= accepted <= drafted"
        )
    return drafted, accepted


def is_count(value: object) -> bool:
    """Whether `value` is an integer from 0; true, 1.0 and NaN are not."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0

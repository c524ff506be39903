"""A streamed completion of llama.cpp's server, token by token, and the rounds that its counts show.

Each token comes in an event of its own, with `timings.draft_n` and `timings.draft_n_accepted` as they stood after the
round that made it. The counts step where a round drafted; a token beyond the accepted ones and the next is a round
without drafts. Accepted tokens are counted as far as they are emitted: behind an end token none are.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from harness.engines.answer import Answer, is_count
from harness.engines.worker import EngineError

#: The server's words for a whole answer, and ours.
ENDS = {"eos": "stop", "limit": "length"}


@dataclass(slots=True)
class Streamed:
    """Tokens so far, in rounds. `drafted` and `accepted` are the counts of each round but the first token's."""

    answer: Answer = field(default_factory=Answer)
    drafted: list[int] = field(default_factory=list)
    accepted: list[int] = field(default_factory=list)
    seen: tuple[int, int] = (0, 0)
    waiting: int = 0  # tokens that the last round still has to bring
    settings: dict[str, Any] = field(default_factory=dict)

    def take(self, event: Any, now: float) -> bool:
        """Add one event; True for the last. Raises EngineError for an event that fits no answer."""
        if not isinstance(event, dict):
            raise EngineError(f"the stream holds {event!r:.300}, expected an object")
        if event.get("error"):
            raise EngineError(f"the server failed while it answered: {event['error']!r:.300}")
        if self.answer.finish is not None:
            raise EngineError(f"the stream holds {event!r:.300} after its end")
        tokens = event.get("tokens") or []
        if not isinstance(tokens, list):
            raise EngineError(f"the stream holds tokens {tokens!r:.300}, expected a list")
        for token in tokens:
            self.add(token, self.counts(event), now)
        if not event.get("stop"):
            if not tokens and event.get("content"):
                raise EngineError("the server sent text without token ids: it does not know return_tokens")
            return False
        word = event.get("stop_type")
        self.answer.finish = ENDS.get(str(word), word or "an ending without stop_type")
        self.answer.new_tokens = event.get("tokens_predicted")
        self.answer.prompt_tokens = event.get("tokens_evaluated")
        self.settings = event.get("generation_settings") or {}
        if event.get("truncated"):
            raise EngineError("the server cut the prompt or the answer: its context (ctx_size) is too small")
        if self.counts(event) != self.seen:
            raise EngineError(f"the server counts {self.counts(event)} drafted and accepted tokens at the end, and "
                              f"{self.seen} at the last token")  # fmt: skip
        self.answer.drafts = {"drafted": self.drafted, "accepted": self.accepted}
        return True

    def counts(self, event: dict[str, Any]) -> tuple[int, int]:
        """Drafted and accepted tokens so far; absent until something was drafted."""
        timings = event.get("timings") or {}
        found = timings.get("draft_n", 0), timings.get("draft_n_accepted", 0)
        if not all(is_count(one) for one in found):
            raise EngineError(f"the server counts {found!r:.100} drafted and accepted tokens, expected counts from 0")
        return found

    def add(self, token: Any, counts: tuple[int, int], now: float) -> None:
        """Put a token into its round; the round's time is that of its last token."""
        steps, at = self.answer.steps, self.answer.at
        drafted, accepted = counts[0] - self.seen[0], counts[1] - self.seen[1]
        if not steps:
            steps.append([token])
            at.append(now)
            if counts != (0, 0):
                raise EngineError(f"the server counts {counts} drafted and accepted tokens before the second token")
            return
        if counts == self.seen and self.waiting:
            steps[-1].append(token)
            at[-1] = now
            self.waiting -= 1
            return
        if self.waiting:
            raise EngineError(f"a round lacks {self.waiting} of its accepted tokens")
        if not 0 <= accepted <= drafted:
            raise EngineError(f"the counts of drafted and accepted tokens went from {self.seen} to {counts}")
        steps.append([token])
        at.append(now)
        self.drafted.append(drafted)
        self.accepted.append(accepted)
        self.waiting, self.seen = accepted, counts


def read_stream(lines: Iterable[str], started: float) -> tuple[Answer, dict[str, Any]]:
    """The answer that the server streams and the settings it names; times are seconds after `started` (perf_counter).

    Raises EngineError for a stream that is cut off, cannot be read or reports an error.
    """
    streamed = Streamed()
    for line in lines:
        now = time.perf_counter() - started
        if not line or line.startswith(":"):
            continue
        kind, _, data = line.partition(":")
        if kind == "error":
            raise EngineError(f"the server failed while it answered: {data.strip():.300}")
        if kind != "data":
            raise EngineError(f"the stream holds {line!r:.300}, expected `data: ...`")
        try:
            event = json.loads(data)
        except ValueError as error:
            raise EngineError(f"the stream broke off after {len(streamed.answer.tokens)} tokens ({error})") from error
        if streamed.take(event, now):
            return streamed.answer, streamed.settings
    raise EngineError(f"the stream broke off after {len(streamed.answer.tokens)} tokens, without its last event")

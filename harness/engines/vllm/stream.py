"""A streamed completion, read line by line until the server says that it is done."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from typing import Any

import httpx

from harness.engines.answer import Answer
from harness.engines.worker import EngineError

#: Lines of an event stream that carry no data: comments that keep it alive, and fields that vLLM does not use.
WITHOUT_DATA = (":", "event:", "id:", "retry:")


def read_stream(lines: Iterable[str], started: float) -> Answer:
    """The answer that a server streams; times are seconds after `started` (perf_counter).

    Raises EngineError for a stream that is cut off, cannot be read, reports an error, or leaves out the usage.
    """
    answer = Answer()
    try:
        for line in lines:
            now = time.perf_counter() - started
            text = line.strip()
            if not text or text.startswith(WITHOUT_DATA):
                continue
            if not text.startswith("data:"):
                raise EngineError(f"the stream holds {text!r:.300}, expected `data: ...`")
            data = text.removeprefix("data:").strip()
            if data == "[DONE]":
                break
            take(answer, json.loads(data), now)
        else:
            raise EngineError(f"the stream broke off after {len(answer.tokens)} tokens, without [DONE]")
    except (httpx.HTTPError, ValueError, TypeError, AttributeError) as error:
        what = f"{type(error).__name__}: {error}"
        raise EngineError(f"the stream broke off after {len(answer.tokens)} tokens ({what})") from error
    if answer.new_tokens is None or answer.prompt_tokens is None:
        raise EngineError("the stream ended without its usage, which was asked for: whether all of it came is unknown")
    return answer


def take(answer: Answer, chunk: Any, now: float) -> None:
    """Add one chunk. Raises EngineError for a reported error, and for a chunk that fits no answer of one choice."""
    if not isinstance(chunk, dict) or not isinstance(chunk.get("choices", []), list):
        raise EngineError(f"the stream holds {chunk!r:.300}, expected an object with choices")
    if chunk.get("error"):
        raise EngineError(f"the server failed while it answered: {chunk['error']!r:.300}")
    for choice in chunk.get("choices", []):
        ids = choice.get("token_ids") or []
        if choice.get("index", 0) != 0 or (ids and answer.finish is not None):
            raise EngineError(f"the stream holds {choice!r:.300}, expected one choice and nothing after its end")
        answer.finish = choice.get("finish_reason") or answer.finish
        if ids:
            answer.steps.append(list(ids))
            answer.at.append(now)
    usage = chunk.get("usage") or {}
    answer.new_tokens = usage.get("completion_tokens", answer.new_tokens)
    answer.prompt_tokens = usage.get("prompt_tokens", answer.prompt_tokens)
    counts = (chunk.get("metrics") or {}).get("speculative_decoding") or {}
    if counts.get("per_step_accepted") is not None:
        answer.drafts = {"drafted": counts.get("per_step_drafted"), "accepted": counts["per_step_accepted"]}

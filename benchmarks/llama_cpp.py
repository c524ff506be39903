"""llama.cpp as a peer: `xllamacpp` in a process of its own, with the shipped weights as GGUF files in F32.

    pip install -e '.[llama]'

A fault of its C++ code ends the process that it runs in, so this file is also the program of that process: JSON lines
in on stdin, JSON lines out on the original stdout.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Sequence
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

KINDS = {"mtp": "DRAFT_MTP", "dflash": "DRAFT_DFLASH"}


def version() -> str | None:
    """The installed version, None where it or the writer of its files is missing."""
    if find_spec("xllamacpp") is None or find_spec("gguf") is None:
        return None
    return metadata.version("xllamacpp")


class LlamaCpp:
    """One arm of llama.cpp; `drafter` is a kind with its file and k, None for the baseline."""

    def __init__(self, target: Path, drafter: tuple[str, Path, int] | None, threads: int, context: int) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.llama_cpp"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        kind, path, k = drafter or (None, None, 0)
        drafting = {"kind": kind, "path": str(path), "k": k} if kind else None
        self.ask({"target": str(target), "drafter": drafting, "threads": threads, "context": context})

    def ask(self, message: dict[str, Any]) -> Any:
        """The answer to one message. Raises SystemExit where the process fails or ends."""
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(json.dumps(message) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        answer = json.loads(line) if line else {"error": f"its process ended with code {self.process.wait()}"}
        if "error" in answer:
            raise SystemExit(f"llama.cpp: {answer['error']}")
        return answer

    def decode(self, prompts: Sequence[list[int]], lengths: Sequence[int]) -> list[list[int]]:
        """So many greedy tokens after each prompt, one prompt after the other; end tokens are never chosen."""
        answers: list[list[int]] = self.ask({"prompts": list(prompts), "lengths": list(lengths)})["answers"]
        return answers

    def close(self) -> None:
        self.process.kill()
        self.process.wait()


# -- the process -------------------------------------------------------------------------------------------------------


def server(target: str, drafter: dict[str, Any] | None, threads: int, context: int) -> Any:
    """A server with one slot, F32 caches and nothing kept between prompts."""
    import xllamacpp

    params = xllamacpp.CommonParams()
    full = xllamacpp.ggml_type.GGML_TYPE_F32
    params.model.path = target
    params.n_ctx, params.n_parallel = context, 1
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = threads
    params.cache_type_k = params.cache_type_v = full
    params.cache_prompt, params.cache_ram_mib = False, 0
    params.hostnames, params.port = ["127.0.0.1"], 0
    if drafter is not None:
        kind = getattr(xllamacpp.common_speculative_type, f"COMMON_SPECULATIVE_TYPE_{KINDS[drafter['kind']]}")
        params.speculative.types = [kind]
        draft = params.speculative.draft
        draft.mparams.path = drafter["path"]
        draft.n_max, draft.n_min, draft.p_min = drafter["k"], 0, 0.0
        draft.cache_type_k = draft.cache_type_v = full
        draft.cpuparams.n_threads = draft.cpuparams_batch.n_threads = threads
    return xllamacpp.Server(params)


def complete(serving: Any, prompt: list[int], tokens: int) -> list[int]:
    """`tokens` greedy token ids after `prompt`, over the loopback: the calls without HTTP return text alone."""
    settings = {"temperature": 0.0, "samplers": ["temperature"], "ignore_eos": True, "cache_prompt": False}
    body = {"prompt": prompt, **settings, "n_predict": tokens, "return_tokens": True, "stream": False}
    headers = {"Content-Type": "application/json"}
    asked = urllib.request.Request(f"{serving.listening_address}/completion", json.dumps(body).encode(), headers)
    with urllib.request.urlopen(asked, timeout=120) as answer:
        return [int(token) for token in json.load(answer)["tokens"]]


def main() -> None:
    channel = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    serving: Any = None
    for line in sys.stdin:
        message = json.loads(line)
        answer: dict[str, Any] = {}
        try:
            if serving is None:
                serving = server(**message)
            else:
                asked = zip(message["prompts"], message["lengths"], strict=True)
                answer["answers"] = [complete(serving, *each) for each in asked]
        except Exception as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
        channel.write(json.dumps(answer) + "\n")
        channel.flush()
    os._exit(0)  # the library's own end may wait for connections


if __name__ == "__main__":
    main()

"""The ways to a llama.cpp server: a worker process, a binary that the harness starts, and running servers by URL.

Every way runs the same arms. A binary is a llama-server of yours, or the server inside the xllamacpp wheel behind
llama-server's command line.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from benchmarks.conformance.wheel_server import install
from drafters.registry import KINDS
from harness.engines.gguf.kept import exported
from harness.engines.llama_cpp.script import HOST, free_port, wait_for
from harness.engines.llama_cpp.settings import as_flags
from harness.records.frames import read_generations, read_rounds
from harness.vocabulary import BASELINE, LLAMA_CPP

WAYS = ("worker", "binary", "url")
#: One thread, one slot, single precision throughout, nothing kept between prompts: as the harness starts a server.
SERVED = {
    "ctx_size": 1024, "parallel": 1, "threads": 1, "threads_batch": 1, "cache_type_k": "f32", "cache_type_v": "f32",
    "flash_attn": "off", "cache_prompt": False, "cache_ram": 0, "metrics": True,
}  # fmt: skip
DRAFTING = {
    "spec_draft_n_min": 0, "spec_draft_p_min": 0.0, "spec_draft_type_k": "f32", "spec_draft_type_v": "f32",
    "spec_draft_threads": 1, "spec_draft_threads_batch": 1,
}  # fmt: skip


def drafting(family: Path, kind: str, k: int) -> dict[str, Any]:
    """The settings of a server that drafts `k` tokens a round with the family's drafter of this kind."""
    return DRAFTING | {
        "spec_type": KINDS[kind].engines[LLAMA_CPP].name,
        "spec_draft_model": str(exported(family / kind, target=family / "target")),
        "spec_draft_n_max": k,
    }


@contextmanager
def serving(program: str, port: int = 0, **settings: Any) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """A running llama-server on the loopback address: its URL and its process, ended afterwards.

    `port` 0 is a free one.
    """
    port = port or free_port()
    flags = as_flags({**SERVED, **settings})
    started = subprocess.Popen([program, *flags, "--host", HOST, "--port", str(port)], stderr=subprocess.DEVNULL)
    try:
        wait_for(started, f"http://{HOST}:{port}")
        yield f"http://{HOST}:{port}", started
    finally:
        started.kill()
        started.wait()


@contextmanager
def through(
    way: str, family: Path, arms: Mapping[str, tuple[str, int]], scratch: Path, binary: str | None = None
) -> Iterator[dict[str, Any]]:
    """The keys of `engine` that lead to the family's arms by `way`; servers that it needs run as long as the block.

    `binary` is a llama-server; without one the wheel's is written into `scratch`.
    """
    if way == "worker":
        yield {}
        return
    program = binary or install(scratch)
    if way == "binary":
        yield {"binary": program}
        return
    model = str(exported(family / "target"))
    with ExitStack() as stack:
        settings = {BASELINE: {}, **{name: drafting(family, kind, k) for name, (kind, k) in arms.items()}}
        yield {"url": {name: stack.enter_context(serving(program, model=model, **own))[0]
                       for name, own in settings.items()}}  # fmt: skip


def differences(beside: Path, alone: Path) -> list[str]:
    """llama.cpp's answers and rounds that differ between a run beside the harness and one of llama.cpp alone."""
    tokens = [
        {(row.arm, row.prompt_id): list(row.token_ids or []) for row in read_generations(folder).itertuples()}
        for folder in (beside, alone)
    ]
    columns = ["arm", "prompt_id", "position", "drafted", "accepted", "emitted"]
    rounds: list[dict[tuple[str, str], list[Any]]] = []
    for folder in (beside, alone):
        found: dict[tuple[str, str], list[Any]] = {}
        for arm, prompt, *counts in read_rounds(folder)[columns].sort_values(columns[:3]).itertuples(index=False):
            found.setdefault((arm, prompt), []).append(counts)
        rounds.append(found)
    wrong = []
    for arm, prompt in tokens[1]:
        there = f"{LLAMA_CPP}_{arm}", prompt
        if tokens[0].get(there) != tokens[1][arm, prompt] or not tokens[1][arm, prompt]:
            wrong.append(f"{arm}: the answers to {prompt} differ")
        elif rounds[0].get(there) != rounds[1].get((arm, prompt)):
            wrong.append(f"{arm}: the rounds of {prompt} differ")
    theirs = sum(arm.startswith(f"{LLAMA_CPP}_") for arm, _ in tokens[0])
    if len(tokens[1]) != theirs:
        wrong.append(f"{len(tokens[1])} answers, expected {theirs}")
    return wrong

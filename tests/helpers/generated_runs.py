"""Run directories made by a generator: shaped like a real run, labelled synthetic, and meaning nothing.

They are written by the journal and summarised by the summary, so a report that reads them reads real files.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from harness.metrics.summary import summarise
from harness.records.journal import GenerationRow, Journal
from harness.records.prompts import write_prompts
from harness.records.rounds import Round
from harness.tasks.prompts import Prompt

STEP_S = 0.030
SCRIPT_PROMPT = "Why does <script>window.hacked = true</script> & </script><b>bold</b> stay text?"
TEXTS = {
    "code": "def total ( items ) : return sum ( item . price for item in items ) # adds \n if not items : raise",
    "maths": "the sum of 12 and 30 is 42 , so x = 6 and the answer follows from \n dividing both sides by 7",
    "prose": "the old harbour slept under a pale moon while gulls argued over crumbs and nobody \n listened at all",
    "summary": "in short the report finds that costs rose , demand fell and the plan was \n changed twice",
    "translation": "le bateau quitte le port à l’aube et la mer reste calme \n jusqu’au soir – 海は静かです 🙂",
}
WORDS = {category: text.split(" ") for category, text in TEXTS.items()}


@dataclass(frozen=True)
class ArmShape:
    """How an arm behaves: chance that each draft is accepted after the one before, and its cost per round."""

    k: int
    accept: float
    fade: float
    draft_s: float
    verify_s: float
    kind: str | None = None


ARMS = {
    "mtp": ArmShape(4, 0.80, 0.95, 0.0076, 0.0322),
    "dflash": ArmShape(7, 0.78, 0.97, 0.0058, 0.0344),
}
CONTROLS = {
    "lookup": ArmShape(4, 0.35, 1.0, 0.0003, 0.0322),
    "oracle": ArmShape(7, 1.0, 1.0, 0.0001, 0.0344),
    "random": ArmShape(4, 0.0, 1.0, 0.0004, 0.0322),
}
EASE = {"code": 1.12, "maths": 1.08, "prose": 0.82, "summary": 0.95, "translation": 0.9}


def write_run(
    folder: Path,
    *,
    prompts: int = 40,
    tokens: int = 90,
    arms: dict[str, ArmShape] | None = None,
    repeats: int = 1,
    batch_size: int = 1,
    seed: int = 0,
    ties: int = 0,
    mismatches: int = 0,
    errors: int = 0,
    pieces: bool = True,
    manifest: dict[str, Any] | None = None,
    summary: bool = True,
    measured: bool = False,
) -> Path:
    """Write a run directory. The last `ties` and `mismatches` prompts of the last arm get that verdict, and its first
    `errors` prompts fail. `manifest` is laid over the made-up one. `measured` fills in what only some runs know:
    memory, wall time, scores, thoughts, a process of its own for each repeat, and a floor at three fifths of a decode
    step."""
    arms = ARMS if arms is None else arms
    rng = np.random.default_rng(seed)
    categories = list(WORDS)
    asked = [
        Prompt(f"{categories[i % 5]}-{i:03d}", categories[i % 5], (question(i, categories[i % 5]),))
        for i in range(prompts)
    ]
    identity = {"config": {"drafters": {name: {"kind": shape.kind or name} for name, shape in arms.items()}}}
    finished: list[tuple[GenerationRow, list[Round]]] = []
    for index, prompt in enumerate(asked):
        length = int(rng.integers(max(2, tokens // 2), tokens + 1))
        words = WORDS[prompt.category]
        ids = rng.integers(0, len(words), size=length)
        texts = [f"{words[i]} " if words[i] != "\n" else "\n" for i in ids]
        for repeat in range(repeats):
            for arm, shape in {"baseline": None, **arms}.items():
                row = GenerationRow(prompt.prompt_id, arm, status="error", error="OutOfMemoryError: <b>made up</b>")
                row.category, row.dataset, row.repeat = prompt.category, "synthetic", repeat
                row.batch_size = batch_size
                row.num_draft_tokens = shape.k if shape else 0
                row.prompt_tokens = len(prompt.turns[0]) // 4
                last = arm == [*arms, ""][len(arms) - 1]
                if last and index < errors:
                    finished.append((row, []))
                    continue
                row.status, row.error = "ok", None
                row.token_ids = [int(i) for i in ids]
                row.pieces = list(texts) if pieces else None
                row.text = "".join(texts)
                row.finish_reason = "eos" if length < tokens else "length"
                row.prefill_s = float(0.05 * rng.lognormal(0, 0.03))
                rounds = decode(rng, length - 1, shape, EASE[prompt.category])
                row.decode_s = sum(r.draft_s + r.verify_s + r.other_s for r in rounds) * 1.002
                if measured:
                    row.peak_memory_bytes = 10**9 + 10**6 * row.num_draft_tokens
                    row.wall_share_s = (row.decode_s + 0.05) / batch_size
                    row.score, row.thinking_tokens = float(index % 2), 3
                    row.process = repeat
                if shape:
                    row.verdict = "exact"
                    place = prompts - 1 - index
                    if last and place < ties + mismatches:
                        spoil(row, "tie" if place < ties else "mismatch")
                finished.append((row, rounds))
    with Journal(folder, identity) as journal:
        journal.append_all(finished)
    write_prompts(folder, asked)
    floor = {"floor": made_up_floor(arms)} if measured else {}
    (folder / "manifest.json").write_text(json.dumps({**made_up(arms, prompts, tokens), **floor, **(manifest or {})}))
    if summary:
        summarise(folder, kinds={name: shape.kind or name for name, shape in arms.items()})
    return folder


def write_at_k(folder: Path, k: int, **options: Any) -> Path:
    """Write a short run whose arms draft `k` tokens."""
    arms = {name: replace(shape, k=k) for name, shape in ARMS.items()}
    return write_run(folder, **{"prompts": 10, "tokens": 40, "arms": arms, **options})


def decode(rng: np.random.Generator, tokens: int, shape: ArmShape | None, ease: float) -> list[Round]:
    """Rounds that emit exactly `tokens`."""
    found: list[Round] = []
    position = 100
    chances = [
        min(0.995, shape.accept * ease * shape.fade**j) if shape and shape.accept < 1 else 1.0 for j in range(32)
    ]
    while tokens > 0:
        accepted = 0
        noise = rng.lognormal(0, 0.02, size=3)
        if shape is not None:
            draws = rng.random(shape.k)
            accepted = next((j for j in range(shape.k) if draws[j] >= chances[j] * (shape.accept > 0)), shape.k)
        emitted = min(tokens, accepted + 1)
        draft, verify = (shape.draft_s, shape.verify_s) if shape else (0.0, STEP_S)
        found.append(
            Round(
                *(len(found), position, shape.k if shape else 0, accepted, emitted),
                *(draft * noise[0], verify * noise[1], 0.0006 * noise[2]),
            )
        )
        tokens -= emitted
        position += emitted
    return found


def spoil(row: GenerationRow, verdict: str) -> None:
    """Change one token of an output and give it the verdict that goes with it."""
    index = len(row.token_ids) // 2
    theirs = row.token_ids[index]
    row.token_ids[index] = 999
    if row.pieces:
        row.pieces[index] = "other "
    row.verdict = verdict
    row.verdict_detail = {
        "index": index,
        "gap": 0.125 if verdict == "tie" else 3.5,
        "tolerance": 0.5,
        "gap_ulps": 1.0 if verdict == "tie" else 28.0,
        "tokens": [theirs, 999],
        "reason": "" if verdict == "tie" else "the two tokens are no near-tie of the target",
    }


def question(index: int, category: str) -> str:
    if index == 1:
        return SCRIPT_PROMPT
    return f"Prompt number {index}: please write a little {category} about topic {index % 7}.\nKeep it short."


def made_up_floor(arms: dict[str, ArmShape]) -> dict[str, Any]:
    """A target of a million weights, drafters of a hundredth, and a device that reads the former in 0.6 STEP_S."""
    rates = {"operations_per_s": 1e30, "bandwidths": [[10**6, 10**6 / (0.6 * STEP_S)]]}
    drafters = {name: {"each": {"head": 10**4}} for name in arms}
    return {"bytes": 1, "rates": rates, "target": {"head": 10**6}, "drafters": drafters}


def made_up(arms: dict[str, ArmShape], prompts: int, tokens: int) -> dict[str, Any]:
    """A manifest with every field a real one has, and the word that it is none."""
    return {
        "schema": 1,
        "synthetic": "Made by a generator for the tests of this report.",
        "created": "2026-01-01T00:00:00+00:00",
        "run_key": "0123456789abcdef",
        "command": ["harness", "experiment=synthetic"],
        "versions": {"python": "3.11.9", "torch": "2.13.0", "transformers": "5.22.2", "cuda": None},
        "git": {"commit": "0" * 40, "dirty": False},
        "hardware": {"platform": "Nowhere", "cpu": "Imaginary CPU", "torch_threads": 1, "device": "cpu", "gpu": None},
        "target": {"dtype": "float32", "device": "cpu", "attention": "imagined"},
        "models": {
            "target": {"path": "synthetic-target", "parameters": 12_345, "bytes": 24_690, "weights_hash": "ab" * 32}
        },
        "arms": [
            {"name": "baseline", "kind": "baseline", "num_draft_tokens": 0},
            *({"name": n, "kind": s.kind or n, "num_draft_tokens": s.k, "native_block": None} for n, s in arms.items()),
        ],
        "prompts": {
            "dataset": "synthetic", "count": prompts, "thinking": False,
            "rendered_sha256": "cd" * 32, "template_sha256": "ef" * 32,
        },
        "config": {
            "target": {"name": "path", "path": "synthetic-target"},
            "max_new_tokens": tokens,
            "batch_size": 1,
            "repeats": 1,
            "seed": 0,
            "decoding": {"temperature": 0.0, "top_k": None, "top_p": None, "verification": "rejection"},
        },
    }  # fmt: skip

"""One GPU beside published figures: real shapes, random weights, synthetic acceptance.

    python -m benchmarks.gpu --size 31B [--tokens 128] [--context 512] [--batch 1] [--peer] [--profile]

Measures tokens per second and milliseconds of a round by part for the baseline, MTP k=8 and DFlash k=15, and the floor
and the strength of each pass (docs/metrics.md). Acceptance is assumed: positions are accepted at the rates below, which
follow the published curves (about 80 % and 75 % at the first position, under 20 % by the eighth to ninth).
`--peer` runs transformers `generate` on the same weights in the same process, plain and with the MTP assistant.
`--profile` keeps the costliest kernels of every arm. The result file is written again after each arm.
"""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch

from benchmarks.common import arguments, hardware, keep
from benchmarks.strength import floor_ms, rates_for, strengths
from harness import generate
from harness.decoding import pool
from harness.target.random_weights import random_drafter, random_target

RATES = {"mtp": [0.80 * 0.82**j for j in range(8)], "dflash": [0.75 * 0.82**j for j in range(15)]}
PUBLISHED = {  # tok/s with vLLM on one H100, by size and concurrency: baseline, MTP k=8, DFlash k=15
    ("31B", 1): {"baseline": 40.3, "mtp": 125.3, "dflash": 122.1},
    ("31B", 16): {"baseline": 375.0, "mtp": 953.0, "dflash": 725.0},
    ("26B-A4B", 1): {"baseline": 177.1, "mtp": 264.2, "dflash": 306.4},
    ("26B-A4B", 16): {"baseline": 975.0, "mtp": 1808.0, "dflash": 1957.0},
}


def decode_arm(target: Any, arm: str, k: int | None, prompts: list[list[int]], flags: Any) -> dict[str, Any]:
    """Tokens per second and the parts of a round of one arm."""
    drafter = None if arm == "baseline" else random_drafter(arm, flags.size, target=target)
    options = {"num_draft_tokens": k, "max_new_tokens": flags.tokens, "synthetic_acceptance": RATES.get(arm, ())}
    generate(target, drafter, prompts, **options)  # compiles, captures and warms up
    runs = [generate(target, drafter, prompts, seed=1000 * repeat, **options) for repeat in range(flags.repeats)]
    rates = [
        sum(len(g.token_ids) - 1 for g in generations) / max(g.decode_s for g in generations) for generations in runs
    ]
    rounds = [r for generations in runs for r in generations[0].rounds[1:]]
    per_round = sum(g[0].decode_s for g in runs) / sum(len(g[0].rounds) for g in runs)
    on_device = sum(r.draft_s + r.verify_s for generations in runs for r in generations[0].rounds)
    published = PUBLISHED.get((flags.size, flags.batch), {}).get(arm)
    parts = {
        part: 1e3 * statistics.median(getattr(r, part) for r in rounds) for part in ("draft_s", "verify_s", "other_s")
    }
    floors = floor_ms(target, drafter, k or 0, len(prompts[0]) + flags.tokens // 2, flags.batch)
    found = {
        "k": k or 0,
        "tokens_per_s": statistics.median(rates),
        # The long-run value at these rates; the line above varies with the few rounds that were drawn.
        "tokens_per_s_at_the_rates": flags.batch * (1 + sum(RATES.get(arm, ()))) / per_round,
        "published_vllm_tokens_per_s": published,
        "over_published": flags.batch * (1 + sum(RATES.get(arm, ()))) / per_round / published if published else None,
        **parts,
        **floors,
        **strengths(floors, *parts.values()),
        # The device's own times against the wall clock; in a batch a row's clock runs while others are prefilled.
        "host_share": 1 - on_device / sum(g[0].decode_s for g in runs) if flags.batch == 1 else None,
        "tokens_per_round": statistics.mean(r.emitted for r in rounds),
        "peak_gib": (runs[-1][0].peak_memory_bytes or 0) / 2**30,
        "preparation_s": pool.peek(target, drafter).preparation_s,
    }
    if flags.profile:
        few = {**options, "max_new_tokens": 16}  # the profiler keeps every kernel of every layer
        found["kernels"] = costliest_kernels(lambda: generate(target, drafter, prompts, **few))
    return found


def costliest_kernels(run: Callable[[], Any], count: int = 25) -> list[dict[str, Any]]:
    """The kernels that take most of the run's time on the device, costliest first."""
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as profiler:
        run()
    rows = sorted(profiler.key_averages(), key=lambda row: row.self_device_time_total, reverse=True)
    return [
        {"kernel": row.key[:120], "ms": row.self_device_time_total / 1e3, "calls": row.count} for row in rows[:count]
    ]


def peer(target: Any, prompts: list[list[int]], tokens: int, k: int = 0, assistant: Any = None) -> dict[str, Any]:
    """transformers `generate` on the same weights, with `assistant` drafting `k` if given.

    A random assistant's drafts are never accepted, so its loop is given in milliseconds a round, not tokens a second.
    """
    ids = torch.tensor(prompts, device="cuda")
    options = {} if assistant is None else {"assistant_model": assistant}
    if assistant is not None:
        assistant.generation_config.num_assistant_tokens = k
        assistant.generation_config.num_assistant_tokens_schedule = "constant"
    passes = 0

    def count(*_: Any) -> None:
        nonlocal passes
        passes += 1

    hook = target.text_model.register_forward_hook(count)
    for _ in range(2):  # the first warms up
        passes = 0
        torch.cuda.synchronize()
        started = time.perf_counter()
        target.model.generate(ids, do_sample=False, max_new_tokens=tokens, pad_token_id=0, **options)
        torch.cuda.synchronize()
        seconds = time.perf_counter() - started
    hook.remove()
    rate = None if assistant is not None else len(prompts) * tokens / seconds
    return {"k": k, "tokens_per_s": rate, "ms_per_round": 1e3 * seconds / passes}


def main() -> None:
    flags = arguments(
        __doc__ or "",
        size={"default": "31B"},
        tokens={"type": int, "default": 128},
        context={"type": int, "default": 512},
        batch={"type": int, "default": 1},
        execution={"default": "auto"},
        arms={"default": "baseline,mtp,dflash"},
        peer={"action": "store_true"},
        profile={"action": "store_true"},
    )
    before = hardware()
    target = random_target(flags.size, "cuda", "bfloat16", execution=flags.execution)
    rates = rates_for(target, None)
    prompts = [torch.randint(10, target.vocab_size, (flags.context,)).tolist() for _ in range(flags.batch)]
    rows: dict[str, Any] = {}

    parts = (flags.size, f"b{flags.batch}", target.execution, flags.name)

    def keep_so_far() -> None:  # after every arm, so that a run that is cut short keeps its finished arms
        result = {
            "size": flags.size,
            "context": flags.context,
            "batch": flags.batch,
            "execution": target.execution,
            "synthetic": "random weights, synthetic acceptance",
            "rates": RATES,
            "bytes_per_s": rates.bandwidths,
            "operations_per_s": rates.operations_per_s,
            "arms": rows,
        }
        keep("gpu", result, before, "-".join(filter(None, parts)))

    for arm, k in (("baseline", None), ("mtp", 8), ("dflash", 15)):
        if arm not in flags.arms.split(",") or (arm == "dflash" and flags.size in ("E2B", "E4B")):
            continue
        try:
            rows[arm] = decode_arm(target, arm, k, prompts, flags)
        except torch.OutOfMemoryError as error:
            rows[arm] = {"failed": str(error).split(". ", 1)[0]}
        # A decoder's programs refer to it and it to them: only a collection frees its caches for the next arm.
        pool.clear(target)
        gc.collect()
        torch.cuda.empty_cache()
        if "failed" not in rows[arm] and "failed" not in rows.get("baseline", {"failed": ""}):
            step, reached = rows["baseline"]["floor_ms"], 1 + sum(RATES.get(arm, ()))
            rows[arm]["speedup_at_floor"] = reached * step / rows[arm]["floor_ms"]
        print(arm, {name: round(value, 3) for name, value in rows[arm].items() if isinstance(value, float)}, flush=True)
        keep_so_far()
    if flags.peer:  # last, as `generate` leaves hooks on the model
        rows["transformers generate"] = peer(target, prompts, 16)
        keep_so_far()
        if flags.batch == 1:
            assistant = random_drafter("mtp", flags.size, target=target).model
            rows["transformers generate, assisted"] = peer(target, prompts, 8, len(RATES["mtp"]), assistant)
            keep_so_far()


if __name__ == "__main__":
    main()

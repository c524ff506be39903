"""One GPU against the published side by side: real shapes, random weights, synthetic acceptance.

    python -m benchmarks.gpu --size 31B [--tokens 128] [--context 512] [--batch 1] [--peer]

For the baseline, MTP k=8 and DFlash k=15: tokens per second, milliseconds of a round by part, and the floor: the bytes
a pass must read over the copy bandwidth measured here. Acceptance is not measured: positions are accepted at the rates
below, which follow the published shape (about 80 % and 75 % at the first position, under 20 % by the eighth to ninth).
`--peer` runs transformers `generate` on the same weights in the same process.
"""

from __future__ import annotations

import statistics
import time
from typing import Any

import torch

from benchmarks.common import arguments, hardware, keep
from harness import generate
from harness.planning import random_drafter, random_target

RATES = {"mtp": [0.80 * 0.82**j for j in range(8)], "dflash": [0.75 * 0.82**j for j in range(15)]}
PUBLISHED = {  # tok/s with vLLM on one H100, concurrency 1: baseline, MTP k=8, DFlash k=15
    "31B": {"baseline": 40.3, "mtp": 125.3, "dflash": 122.1},
    "26B-A4B": {"baseline": 177.1, "mtp": 264.2, "dflash": 306.4},
}


def copy_bandwidth(device: torch.device) -> float:
    """Bytes per second that a large copy reads and writes."""
    source = torch.empty(2**30, dtype=torch.uint8, device=device)
    aim = torch.empty_like(source)
    for _ in range(3):
        aim.copy_(source)
    torch.cuda.synchronize()
    started = time.perf_counter()
    for _ in range(20):
        aim.copy_(source)
    torch.cuda.synchronize()
    return 20 * 2 * source.numel() / (time.perf_counter() - started)


def bytes_per_pass(target: Any) -> int:
    """Weight bytes that a one-token pass reads: all, but of the embedding only the tied head's single reading, and of
    the experts only the active ones."""
    config = target.config
    total = 0
    for name, weight in target.model.named_parameters():
        size = weight.numel() * weight.element_size()
        if ".experts." in name:
            size = size * config.top_k_experts // config.num_experts
        if "embed_tokens_per_layer" in name:
            size = 0
        total += size
    return total


def main() -> None:
    flags = arguments(
        __doc__ or "",
        size={"default": "31B"},
        tokens={"type": int, "default": 128},
        context={"type": int, "default": 512},
        batch={"type": int, "default": 1},
        execution={"default": "auto"},
        peer={"action": "store_true"},
    )
    before = hardware()
    target = random_target(flags.size, "cuda", "bfloat16", execution=flags.execution)
    bandwidth = copy_bandwidth(target.device)
    floor_ms = 1e3 * bytes_per_pass(target) / bandwidth
    prompts = [torch.randint(10, target.vocab_size, (flags.context,)).tolist() for _ in range(flags.batch)]
    rows: dict[str, Any] = {}
    for arm, k in (("baseline", None), ("mtp", 8), ("dflash", 15)):
        if arm == "dflash" and flags.size in ("E2B", "E4B"):
            continue
        drafter = None if arm == "baseline" else random_drafter(arm, flags.size, target=target)
        options = {"num_draft_tokens": k, "max_new_tokens": flags.tokens, "synthetic_acceptance": RATES.get(arm, ())}
        generate(target, drafter, prompts, **options)  # compiles, captures and warms up
        runs = [generate(target, drafter, prompts, **options) for _ in range(flags.repeats)]
        rates = [
            sum(len(g.token_ids) - 1 for g in generations) / max(g.decode_s for g in generations)
            for generations in runs
        ]
        rounds = [r for generations in runs for r in generations[0].rounds[1:]]
        rows[arm] = {
            "k": k or 0,
            "tokens_per_s": statistics.median(rates),
            "published_vllm_tokens_per_s": PUBLISHED.get(flags.size, {}).get(arm) if flags.batch == 1 else None,
            **{
                part: 1e3 * statistics.median(getattr(r, part) for r in rounds)
                for part in ("draft_s", "verify_s", "other_s")
            },
            "tokens_per_round": statistics.mean(r.emitted for r in rounds),
            "peak_gib": (runs[-1][0].peak_memory_bytes or 0) / 2**30,
            "preparation_s": target.decoders[drafter][1].preparation_s,
        }
        print(arm, {name: round(value, 3) for name, value in rows[arm].items() if isinstance(value, float)}, flush=True)
        target.decoders.clear()
    rows["baseline"]["share_of_floor"] = floor_ms / rows["baseline"]["verify_s"]
    if flags.peer:
        tokens = torch.tensor(prompts, device="cuda")
        for _ in range(2):
            torch.cuda.synchronize()
            started = time.perf_counter()
            target.model.generate(tokens, do_sample=False, max_new_tokens=flags.tokens, pad_token_id=0)
            torch.cuda.synchronize()
        rows["transformers generate"] = {
            "tokens_per_s": flags.batch * flags.tokens / (time.perf_counter() - started)
        }
    result = {
        "size": flags.size,
        "context": flags.context,
        "batch": flags.batch,
        "execution": target.execution,
        "synthetic": "random weights, synthetic acceptance",
        "rates": RATES,
        "copy_bytes_per_s": bandwidth,
        "floor_ms": floor_ms,
        "arms": rows,
    }
    keep("gpu", result, before, f"{flags.size}-b{flags.batch}" + ("-" + flags.name if flags.name else ""))


if __name__ == "__main__":
    main()

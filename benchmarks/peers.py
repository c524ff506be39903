"""Times this loop against its peers' loops on the same weights, prompts and lengths, in one process.

    python -m benchmarks.peers [--repeats 5] [--tokens 128] [--prompts 4] [--compile]

The peers are transformers `generate`, plain and with the MTP assistant (same k), z-lab's `dflash_generate` (same
block), and llama.cpp with all three (same k; where the `llama` extra is installed), at the same thread count. Each is
timed whole, prefill included, up to where the target ends its answer or `--tokens`, so that all decode the same tokens.
Greedy tokens must be equal before anything is timed. The floor is a bare compiled forward of the same width without any
cache. With `--repeats 7 --tokens 96 --compile` it takes up to 8 minutes, half of which are compilation.
"""

from __future__ import annotations

import atexit
import json
import statistics
import sys
import time
from collections.abc import Callable, Collection
from functools import partial
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from benchmarks.common import alternate, arguments, hardware, keep, ratio, warn_if_busy
from benchmarks.llama_cpp import LlamaCpp, version
from harness import generate, load_drafter, load_target
from harness.decoding.frozen import frozen_weights
from harness.decoding.programs import compiled
from harness.vocabulary import ASSETS

K = 4
CANDIDATES = 4  # times as many prompts as are timed: those with the longest answers, as short ones are mostly prefill


def read_prompts(tokenizer: Any, count: int) -> list[list[int]]:
    """`count` shipped prompts, spread over the kinds, as token ids."""
    rows = [json.loads(line) for line in (ASSETS / "prompts.jsonl").read_text(encoding="utf-8").splitlines()]
    picked = rows[:: max(1, len(rows) // count)][:count]
    messages = [row.get("messages") or [{"role": "user", "content": row["turns"][0]}] for row in picked]
    return [
        tokenizer.apply_chat_template(message, add_generation_prompt=True, return_dict=False) for message in messages
    ]


def zlab_generate(folder: Path, target: Any) -> Callable[[list[int], int], list[int]]:
    """z-lab's own loop; its calls to CUDA's synchronisation are stubbed on a machine without CUDA."""
    if not torch.cuda.is_available():
        torch.cuda.synchronize = lambda *_: None  # type: ignore[assignment]
    from dflash.model import DFlashDraftModel, dflash_generate

    model = DFlashDraftModel.from_pretrained(folder, dtype=torch.float32).eval()

    def run(prompt: list[int], tokens: int) -> list[int]:
        ids = dflash_generate(model, target, torch.tensor([prompt]), tokens, None)
        return ids[0, len(prompt) :].tolist()

    return run


def until_end(tokens: list[int], end: Collection[int]) -> int:
    """How many of `tokens` come before the first that ends an answer."""
    return next((index for index, token in enumerate(tokens) if token in end), len(tokens))


def llama_arms(k: dict[str, int], threads: int, context: int) -> dict[str, LlamaCpp]:
    """llama.cpp's arms by drafter (None's name is plain), from files written once; empty where it is not installed."""
    if version() is None:
        print("llama.cpp is left out: it comes with pip install -e '.[llama]'", file=sys.stderr)
        return {}
    from harness.engines.gguf.kept import exported

    target = exported(ASSETS / "target", "f32", None)
    files = {kind: exported(ASSETS / kind, "f32", ASSETS / "target") for kind in k}
    arms = {"plain": LlamaCpp(target, None, threads, context)}
    return arms | {kind: LlamaCpp(target, (kind, file, k[kind]), threads, context) for kind, file in files.items()}


def bare_forward_ms(model: Any, width: int, repeats: int = 50) -> float:
    """Median milliseconds of one compiled forward over `width` tokens, without context and without a cache."""
    tokens = torch.zeros(1, width, dtype=torch.long)
    with torch.inference_mode():
        run = compiled(lambda ids: model(input_ids=ids, use_cache=False).logits)
        with frozen_weights(0):
            for _ in range(5):
                run(tokens)
        seconds = []
        for _ in range(repeats):
            started = time.perf_counter()
            run(tokens)
            seconds.append(time.perf_counter() - started)
    return 1e3 * statistics.median(seconds)


def main() -> None:
    flags = arguments(
        __doc__ or "",
        tokens={"type": int, "default": 128},
        prompts={"type": int, "default": 4},
        compile={"action": "store_true", "help": "time this loop's compiled rounds and the floor, too"},
    )
    warn_if_busy()
    before = hardware()
    model = AutoModelForCausalLM.from_pretrained(ASSETS / "target", dtype=torch.float32).eval()
    assistant = AutoModelForCausalLM.from_pretrained(ASSETS / "mtp", dtype=torch.float32).eval()
    model.generation_config.eos_token_id = None
    assistant.generation_config.num_assistant_tokens = K
    assistant.generation_config.num_assistant_tokens_schedule = "constant"
    prompts = read_prompts(AutoTokenizer.from_pretrained(ASSETS / "target"), CANDIDATES * flags.prompts)
    zlab = zlab_generate(ASSETS / "dflash", model)
    block = json.loads((ASSETS / "dflash" / "config.json").read_text(encoding="utf-8"))["block_size"]

    lengths = [flags.tokens] * len(prompts)

    def peer(**options: Any) -> Callable[[], list[list[int]]]:
        options |= {"do_sample": False, "pad_token_id": 0}

        def run() -> list[list[int]]:
            with torch.inference_mode():
                return [
                    model.generate(torch.tensor([prompt]), max_new_tokens=length, **options)[0, len(prompt) :].tolist()
                    for prompt, length in zip(prompts, lengths, strict=True)
                ]

        return run

    end = load_target(ASSETS / "target", dtype="float32").eos_token_ids
    ends = [until_end(answer, end) for answer in peer()()]
    longest = sorted(range(len(prompts)), key=lambda index: -ends[index])[: flags.prompts]
    prompts, lengths = [prompts[index] for index in longest], [ends[index] for index in longest]
    cases: dict[str, Callable[[], list[list[int]]]] = {
        "transformers plain": peer(),
        f"transformers MTP k={K}": peer(assistant_model=assistant),
        f"z-lab DFlash block {block}": lambda: [zlab(*each) for each in zip(prompts, lengths, strict=True)],
    }
    capacity = -(-(max(map(len, prompts)) + flags.tokens + block + 2) // 256) * 256
    llama = llama_arms({"mtp": K, "dflash": block - 1}, torch.get_num_threads(), capacity)
    theirs = {"plain": "llama.cpp plain", "mtp": f"llama.cpp MTP k={K}", "dflash": f"llama.cpp DFlash k={block - 1}"}
    for kind, serving in llama.items():
        atexit.register(serving.close)
        cases[theirs[kind]] = partial(serving.decode, prompts, lengths)
    ours: dict[str, list[str]] = {}
    for execution in ["eager"] + ["compile"] * flags.compile:
        # Load the weights again: transformers leaves hooks on a model it has decoded with, and they do not compile.
        target = load_target(ASSETS / "target", dtype="float32", execution=execution)
        arms = {
            "baseline": (None, None),
            f"MTP k={K}": (load_drafter("mtp", ASSETS / "mtp", target=target), K),
            f"DFlash k={block - 1}": (load_drafter("dflash", ASSETS / "dflash", target=target), block - 1),
        }
        for arm, (drafter, k) in arms.items():

            def run(target: Any = target, drafter: Any = drafter, k: int | None = k) -> list[list[int]]:
                options = {"num_draft_tokens": k, "capacity": capacity}
                return [
                    generate(target, drafter, prompt, max_new_tokens=length, **options).token_ids
                    for prompt, length in zip(prompts, lengths, strict=True)
                ]

            cases[f"ours {execution} {arm}"] = run
        ours[execution] = [f"ours {execution} {arm}" for arm in arms]

    wanted = cases["transformers plain"]()
    for name, case in cases.items():
        if case() != wanted:
            raise SystemExit(f"{name} did not give the target's own greedy tokens; nothing was timed")
    seconds = alternate(cases, flags.repeats)
    peers = [list(cases)[:3], *([list(theirs.values())] if llama else [])]
    ratios = {
        f"{mine} over {peer}": ratio(seconds, peer, mine)
        for names in ours.values()
        for group in peers
        for mine, peer in zip(names, group, strict=True)
    }
    result: dict[str, Any] = {
        "versions": {"xllamacpp": version()},
        "tokens_per_run": sum(lengths),
        "median_tokens_per_s": {name: sum(lengths) / statistics.median(values) for name, values in seconds.items()},
        "times_as_fast": ratios,
        "seconds": seconds,
    }
    if flags.compile:
        fresh = AutoModelForCausalLM.from_pretrained(ASSETS / "target", dtype=torch.float32).eval()
        result["bare_compiled_forward_ms"] = {str(width): bare_forward_ms(fresh, width) for width in (1, K + 1, block)}
    for name, value in result["median_tokens_per_s"].items():
        print(f"{name:32s} {value:8.1f} tok/s")
    for name, values in ratios.items():
        print(f"{name:58s} {values['median']:.2f}x  ({values['min']:.2f} to {values['max']:.2f})")
    if flags.compile:
        print("bare compiled forward, ms:", {w: round(v, 3) for w, v in result["bare_compiled_forward_ms"].items()})
    keep("peers", result, before, "-".join(filter(None, ("dense", flags.name))))


if __name__ == "__main__":
    main()

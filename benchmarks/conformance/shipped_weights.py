"""Checks that the shipped folders load elsewhere as they are, with the same greedy tokens and acceptance.

    python -m benchmarks.conformance.shipped_weights --reference reference.json        # this harness writes the reference
    python -m benchmarks.conformance.shipped_weights --reference reference.json --peer transformers
    python -m benchmarks.conformance.shipped_weights --reference reference.json --peer zlab      # pip install --no-deps dflash==0.1.0
    VLLM_PYTHON -m benchmarks.conformance.shipped_weights --reference reference.json --peer vllm  # an environment of its own

The reference holds the greedy fp32 tokens of a few shipped prompts and the tokens emitted per round, for the baseline,
MTP and DFlash. A peer must give the same tokens. Its acceptance length may differ by 2 % where the conventions agree:
DFlash with z-lab and vLLM. It is shown and not judged for MTP: transformers drafts on stale keys after a rejection, and
vLLM puts MTP's steps one position earlier. Exit code 1 if a judged figure differs.
"""  # noqa: E501

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

ASSETS = Path(__file__).resolve().parents[2] / "harness" / "assets"
TOLERANCE = 0.02
Peer = dict[str, Any]  # {"tokens": list per prompt, "tau": float}


def write_reference(path: Path, assets: Path, per_kind: int, new_tokens: int, ks: dict[str, int]) -> None:
    """Decode with this harness and keep prompts, tokens and acceptance lengths."""
    from harness import generate, load_drafter, load_target
    from harness.tasks.chat import load_tokenizer
    from harness.tasks.prompts import read_jsonl
    from harness.training.answers import render

    target = load_target(str(assets / "target"))
    tokenizer = load_tokenizer(str(assets / "target"))
    prompts: list[list[int]] = []
    taken: dict[str, int] = {}
    shipped = assets / "prompts.jsonl"
    for prompt in read_jsonl(shipped if shipped.is_file() else ASSETS / "prompts.jsonl"):
        taken[prompt.category] = taken.get(prompt.category, 0) + 1
        if taken[prompt.category] <= per_kind:
            messages = [{"role": role, "content": text} for role, text in prompt.opening]
            prompts.append(render(tokenizer, [*messages, {"role": "user", "content": prompt.turns[0]}], False))
    reference: dict[str, Any] = {
        "prompts": prompts, "new_tokens": new_tokens, "eos": list(target.eos_token_ids), "k": ks, "arms": {},
    }  # fmt: skip
    for arm in ("baseline", *ks):
        drafter = None if arm == "baseline" else load_drafter(arm, str(assets / arm), target=target)
        options: dict[str, Any] = {} if drafter is None else {"num_draft_tokens": ks[arm]}
        made = [
            generate(target, drafter, ids, max_new_tokens=new_tokens, eos_token_ids=target.eos_token_ids, **options)
            for ids in prompts
        ]
        rounds = [r for g in made for r in g.rounds]
        tau = sum(r.emitted for r in rounds) / max(1, len(rounds))
        reference["arms"][arm] = {"tokens": [g.token_ids for g in made], "tau": tau}
    path.write_text(json.dumps(reference), encoding="utf-8")


def run_transformers(reference: dict[str, Any], assets: Path) -> dict[str, Peer]:
    """Plain `generate`, and `generate(assistant_model=...)` with the MTP assistant."""
    import torch
    from transformers import AutoModelForCausalLM, Gemma4AssistantForCausalLM

    target = AutoModelForCausalLM.from_pretrained(assets / "target", dtype=torch.float32).eval()
    assistant = Gemma4AssistantForCausalLM.from_pretrained(assets / "mtp", dtype=torch.float32).eval()
    assistant.generation_config.num_assistant_tokens = reference["k"]["mtp"]
    passes = 0

    def count(*_: Any) -> None:
        nonlocal passes
        passes += 1

    peers: dict[str, Peer] = {}
    for arm, options in (("baseline", {}), ("mtp", {"assistant_model": assistant})):
        passes = 0
        handle = target.register_forward_hook(count)
        tokens = []
        for ids in reference["prompts"]:
            out = target.generate(
                torch.tensor([ids]), attention_mask=torch.ones(1, len(ids), dtype=torch.long), do_sample=False,
                max_new_tokens=reference["new_tokens"], **options,
            )  # fmt: skip
            tokens.append(out[0, len(ids) :].tolist())
        handle.remove()
        rounds = passes - len(tokens)  # the pass over the prompt gives the first token
        peers[arm] = {"tokens": tokens, "tau": (sum(map(len, tokens)) - len(tokens)) / max(1, rounds)}
    return peers


def run_zlab(reference: dict[str, Any], assets: Path) -> dict[str, Peer]:
    """z-lab's own decoding loop over a transformers target."""
    import torch

    if not torch.cuda.is_available():
        torch.cuda.synchronize = lambda *_, **__: None  # its clock synchronises a device that is missing
    from dflash.model import DFlashDraftModel, dflash_generate
    from transformers import AutoModelForCausalLM

    target = AutoModelForCausalLM.from_pretrained(assets / "target", dtype=torch.float32).eval()
    drafter = DFlashDraftModel.from_pretrained(assets / "dflash", dtype=torch.float32).eval()
    tokens, emitted, rounds = [], 0, 0
    with torch.inference_mode():
        for ids in reference["prompts"]:
            out = dflash_generate(
                drafter, target, torch.tensor([ids]), reference["new_tokens"], reference["eos"],
                block_size=reference["k"]["dflash"] + 1, return_stats=True,
            )  # fmt: skip
            tokens.append(out.output_ids[0, len(ids) :].tolist())
            emitted, rounds = emitted + sum(out.acceptance_lengths), rounds + len(out.acceptance_lengths)
    return {"dflash": {"tokens": tokens, "tau": emitted / max(1, rounds)}}


def run_vllm(reference: dict[str, Any], assets: Path) -> dict[str, Peer]:
    """vLLM, one engine per drafter. Names and skips a drafter that this build cannot run: version 0.32 on a CPU refuses
    DFlash with mixed sliding and full layers (they need its second model runner), and needs CUDA graphs for an ordered
    assistant head."""
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    from vllm import LLM, SamplingParams

    peers: dict[str, Peer] = {}
    for arm, k in (("baseline", 0), *reference["k"].items()):
        speculative = {"method": arm, "model": str(assets / arm), "num_speculative_tokens": k} if k else None
        try:
            engine = LLM(
                str(assets / "target"), dtype="float32", max_model_len=2048, speculative_config=speculative,
                disable_log_stats=False, enforce_eager=True,
                gpu_memory_utilization=0.3,  # on a CPU: the share of its memory that must be free
            )  # fmt: skip
        except (ValueError, RuntimeError) as error:
            print(f"vllm         {arm:9} not run: {error}".replace("\n", " ")[:300])
            continue
        sampling = SamplingParams(
            temperature=0.0, max_tokens=reference["new_tokens"], stop_token_ids=reference["eos"], detokenize=False
        )
        made = engine.generate([{"prompt_token_ids": ids} for ids in reference["prompts"]], sampling)
        values = {m.name: getattr(m, "value", 0) for m in engine.get_metrics()}
        drafts = values.get("vllm:spec_decode_num_drafts", 0)
        accepted = values.get("vllm:spec_decode_num_accepted_tokens", 0)
        peers[arm] = {
            "tokens": [list(m.outputs[0].token_ids) for m in made],
            "tau": 1 + accepted / drafts if drafts else 1.0,
        }
        del engine
    return peers


PEERS: dict[str, Callable[[dict[str, Any], Path], dict[str, Peer]]] = {
    "transformers": run_transformers, "zlab": run_zlab, "vllm": run_vllm,
}  # fmt: skip
#: Keeps vLLM to one process that shares the machine; set before vLLM is imported.
ENVIRONMENT = {
    "VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_CPU_OMP_THREADS_BIND": "nobind", "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
}  # fmt: skip
JUDGED = {("zlab", "dflash"), ("vllm", "dflash")}


def compare(name: str, reference: dict[str, Any], peers: dict[str, Peer]) -> bool:
    """Print one line per arm; True if every judged figure agrees."""
    agreed = True
    for arm, peer in peers.items():
        ours = reference["arms"][arm]
        same = sum(a == b for a, b in zip(ours["tokens"], peer["tokens"], strict=True))
        off = peer["tau"] / ours["tau"] - 1
        judged = (name, arm) in JUDGED
        good = same == len(ours["tokens"]) and (not judged or abs(off) <= TOLERANCE)
        agreed = agreed and good
        print(
            f"{name:13}{arm:9} tokens equal {same}/{len(ours['tokens'])}   tokens per round {peer['tau']:.3f}, "
            f"here {ours['tau']:.3f} ({off:+.1%}{'' if judged else ', not judged'})   {'ok' if good else 'DIFFERS'}"
        )
    return agreed


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--reference", type=Path, required=True)
    parser.add_argument("--peer", choices=PEERS, help="compare with this; without it the reference is written")
    parser.add_argument("--assets", type=Path, default=ASSETS)
    parser.add_argument("--per-kind", type=int, default=2)
    parser.add_argument("--new-tokens", type=int, default=256)
    parser.add_argument("--mtp-k", type=int, default=4)
    parser.add_argument("--dflash-k", type=int, default=15)
    options = parser.parse_args()
    if options.peer is None:
        ks = {"mtp": options.mtp_k, "dflash": options.dflash_k}
        write_reference(options.reference, options.assets, options.per_kind, options.new_tokens, ks)
        return 0
    reference = json.loads(options.reference.read_text(encoding="utf-8"))
    return 0 if compare(options.peer, reference, PEERS[options.peer](reference, options.assets)) else 1


if __name__ == "__main__":
    sys.exit(main())

"""What to paste into a server for one drafter and k, by the names that each engine's current version uses.

Each text starts as it stands and drafts as the run did: `python -m benchmarks.advise` executes them. Sources, read in
November 2026: transformers 5.24 (`generation_config.num_assistant_tokens`), z-lab's dflash 0.1.0, vLLM 0.32 (its page
on MTP with Gemma 4 assistants; its CPU wheel, whose `vllm` command does not start), SGLang (its page on speculative
decoding, and pull request 24436, where NEXTN with a Gemma 4 assistant becomes FROZEN_KV_MTP), llama.cpp (its page on
speculative decoding; its `--spec-draft-p-min` ends drafts early unless it is 0).
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from drafters.registry import kind_of

ENGINES = ("transformers", "vllm", "sglang", "llama_cpp")
TITLES = {"transformers": "transformers", "vllm": "vLLM", "sglang": "SGLang", "llama_cpp": "llama.cpp"}
GGUF_TYPES = {"float32": "f32", "float16": "f16", "bfloat16": "bf16"}
#: vLLM reserves this share of a CPU's memory for keys and values, and ends where less is free; its own is 0.92.
CPU_MEMORY = "0.3"
PROMPT = "Which is larger, 17 or 71?"


@dataclass(frozen=True, slots=True)
class Setting:
    """What to paste for one engine: `text`, empty where the engine has no such drafter; `note` says what to know."""

    engine: str
    text: str
    note: str = ""

    @property
    def title(self) -> str:
        return TITLES[self.engine]


@dataclass(frozen=True, slots=True)
class Deployed:
    """The target as the run had it, and the GGUF files that the run named.

    A `dtype` of "auto" and an empty `device` stand for unknown ones.
    """

    target: str
    dtype: str = "auto"
    device: str = ""
    max_new_tokens: int = 256
    eos_token_ids: tuple[int, ...] = ()
    target_gguf: str | None = None
    drafter_gguf: str | None = None

    @property
    def on_cpu(self) -> bool:
        return self.device.startswith("cpu")


@dataclass(frozen=True, slots=True)
class Drafting:
    """A drafter of `kind` at `path`, a path or hub id, that drafts `k` tokens under `conventions`, as far as known."""

    kind: str
    path: str | None
    k: int
    conventions: Mapping[str, Any] = field(default_factory=dict)


def settings(deployed: Deployed, drafting: Drafting | None) -> list[Setting]:
    """The settings of every engine; without `drafting`, those of plain decoding."""
    if drafting is not None and (drafting.kind not in ("mtp", "dflash") or drafting.path is None):
        return [Setting(engine, "", f"no setting is known for a drafter of kind {drafting.kind}") for engine in ENGINES]
    return [engine(deployed, drafting) for engine in (transformers, vllm, sglang, llama_cpp)]


def differing(engine: str, drafting: Drafting) -> str:
    """The conventions in which the engine differs from the run, in words; empty for none or unknown ones."""
    method = kind_of(drafting.kind).engines.get(engine)
    theirs = {} if method is None else method.conventions
    ours = drafting.conventions
    apart = [f"{name} {only}, not {ours[name]}" for name, only in theirs.items() if ours.get(name, only) != only]
    return f"acceptance may differ, as it has {', '.join(apart)}" if apart else ""


def transformers(deployed: Deployed, drafting: Drafting | None) -> Setting:
    """A program that loads the models and answers one prompt."""
    block = drafting is not None and drafting.kind == "dflash"
    where = f"dtype={deployed.dtype!r}" + ("" if deployed.on_cpu else ", device_map='auto'")
    lines = [
        "from transformers import AutoModelForCausalLM, AutoTokenizer",
        f"tokenizer = AutoTokenizer.from_pretrained({deployed.target!r})",
        f"target = AutoModelForCausalLM.from_pretrained({deployed.target!r}, {where})",
        f"messages = [{{'role': 'user', 'content': {PROMPT!r}}}]",
        "inputs = tokenizer.apply_chat_template(",
        "    messages, add_generation_prompt=True, return_tensors='pt', return_dict=True",
        ").to(target.device)",
    ]
    asked, note = f"max_new_tokens={deployed.max_new_tokens}", ""
    if drafting is None:
        lines.append(f"output = target.generate(**inputs, do_sample=False, {asked})")
    elif block:
        lines += [
            "from dflash.model import DFlashDraftModel, dflash_generate",
            f"drafter = DFlashDraftModel.from_pretrained({drafting.path!r}, dtype=target.dtype).to(target.device)",
            "output = dflash_generate(",
            f"    drafter, target, inputs['input_ids'], {asked},",
            f"    stop_token_ids={list(deployed.eos_token_ids) or None}, block_size={drafting.k + 1},",
            ")",
        ]
        note = "transformers has no DFlash for Gemma 4: z-lab's package dflash 0.1.0 drafts beside its models"
    else:
        lines += [
            f"assistant = AutoModelForCausalLM.from_pretrained({drafting.path!r}, {where})",
            f"assistant.generation_config.num_assistant_tokens = {drafting.k}",
            "assistant.generation_config.num_assistant_tokens_schedule = 'constant'",
            f"output = target.generate(**inputs, assistant_model=assistant, do_sample=False, {asked})",
        ]
        note = "greedy: its sampling with an assistant changes the distribution"
    lines.append("print(tokenizer.decode(output[0, inputs['input_ids'].shape[1] :]))")
    return Setting("transformers", "\n".join(lines), note)


def vllm(deployed: Deployed, drafting: Drafting | None) -> Setting:
    """A server's command. vLLM casts float32 to bfloat16 unless it is given a dtype."""
    if drafting is not None and deployed.on_cpu and drafting.conventions.get("ordered_head"):
        return Setting("vllm", "", "its CPU build cannot run an assistant's ordered head")
    start = ["python", "-m", "vllm.entrypoints.openai.api_server", "--model"] if deployed.on_cpu else ["vllm", "serve"]
    parts = [*start, deployed.target, "--dtype", deployed.dtype]
    if deployed.on_cpu:
        parts += ["--gpu-memory-utilization", CPU_MEMORY]
    if drafting is None:
        return Setting("vllm", command(parts))
    speculative = {"method": drafting.kind, "model": drafting.path, "num_speculative_tokens": drafting.k}
    return Setting(
        "vllm", command([*parts, "--speculative-config", json.dumps(speculative)]), differing("vllm", drafting)
    )


def sglang(deployed: Deployed, drafting: Drafting | None) -> Setting:
    parts = ["python", "-m", "sglang.launch_server", "--model-path", deployed.target, "--dtype", deployed.dtype]
    if deployed.on_cpu:
        parts += ["--device", "cpu"]
    if drafting is None:
        return Setting("sglang", command(parts))
    parts += ["--speculative-draft-model-path", str(drafting.path)]
    if drafting.kind == "mtp":
        chain = ["--speculative-num-steps", str(drafting.k), "--speculative-eagle-topk", "1"]
        parts += ["--speculative-algorithm", "NEXTN", *chain]
        note = "NEXTN runs a Gemma 4 assistant as FROZEN_KV_MTP; its number of draft tokens counts the anchor"
    else:
        parts += ["--speculative-algorithm", "DFLASH"]
        note = "its number of draft tokens is the block, which counts the anchor"
    return Setting("sglang", command([*parts, "--speculative-num-draft-tokens", str(drafting.k + 1)]), note)


def llama_cpp(deployed: Deployed, drafting: Drafting | None) -> Setting:
    """The server's command, behind the commands that write the files that no run named.

    A float32 run keeps keys and values in float32 as well, and its attention off the kernels of half precision.
    """
    export = ["python", "-m", "harness.export", "gguf"]
    kind = ["--type", GGUF_TYPES[deployed.dtype]] if deployed.dtype in GGUF_TYPES else []
    exact = deployed.dtype == "float32"
    lines, parts = list[str](), ["llama-server", "--model", deployed.target_gguf or "TARGET.gguf"]
    if deployed.target_gguf is None:
        lines.append(command([*export, deployed.target, "--out", "TARGET.gguf", *kind]))
    if exact:
        parts += ["--flash-attn", "off", "--cache-type-k", "f32", "--cache-type-v", "f32"]
    notes = []
    if drafting is not None:
        if deployed.drafter_gguf is None:
            written = [*export, str(drafting.path), "--out", "DRAFTER.gguf", *kind, "--target", deployed.target]
            lines.append(command(written))
        parts += ["--spec-draft-model", deployed.drafter_gguf or "DRAFTER.gguf"]
        parts += ["--spec-type", f"draft-{drafting.kind}"]
        parts += ["--spec-draft-n-max", str(drafting.k), "--spec-draft-p-min", "0"]
        if exact:
            parts += ["--spec-draft-type-k", "f32", "--spec-draft-type-v", "f32"]
        notes.append(differing("llama_cpp", drafting))
    if lines:
        notes.insert(0, "the runs name no such GGUF file: export writes it")
    return Setting("llama_cpp", "\n".join([*lines, command(parts)]), "; ".join(filter(None, notes)))


def command(parts: Iterable[str]) -> str:
    """A shell command."""
    return shlex.join(parts)

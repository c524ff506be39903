"""What to paste into a server for one drafter and k, by the names that each engine's current version uses.

Sources, read in November 2026: transformers 5.24 (`generation_config.num_assistant_tokens`), z-lab's dflash 0.1.0, vLLM
0.32 (its page on MTP with Gemma 4 assistants), SGLang (its page on speculative decoding, and pull request 24436, where
NEXTN with a Gemma 4 assistant becomes FROZEN_KV_MTP), llama.cpp (its page on speculative decoding; its
`--spec-draft-p-min` ends drafts early unless it is 0).
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable
from dataclasses import dataclass

ENGINES = ("transformers", "vllm", "sglang", "llama_cpp")
TITLES = {"transformers": "transformers", "vllm": "vLLM", "sglang": "SGLang", "llama_cpp": "llama.cpp"}


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
class Files:
    """The GGUF files of a target and a drafter, as far as a run knows them."""

    target: str | None = None
    drafter: str | None = None


NO_FILES = Files()


def settings(
    kind: str, target: str, drafter: str | None, k: int, files: Files = NO_FILES
) -> list[Setting]:
    """The settings of every engine for a drafter of `kind` at `drafter`, a path or hub id; `none` drafts nothing.

    `files` are those for llama.cpp.
    """
    if kind == "none":
        return [
            Setting("transformers", "target.generate(**inputs)"),
            Setting("vllm", command(["vllm", "serve", target])),
            Setting("sglang", command(["python", "-m", "sglang.launch_server", "--model-path", target])),
            llama_cpp(target, None, [], files),
        ]
    if kind not in ("mtp", "dflash") or drafter is None:
        return [Setting(engine, "", f"no setting is known for a drafter of kind {kind}") for engine in ENGINES]
    drafting = ["--spec-type", f"draft-{kind}", "--spec-draft-n-max", str(k), "--spec-draft-p-min", "0"]
    return [transformers(kind, target, drafter, k), vllm(kind, target, drafter, k), sglang(kind, target, drafter, k),
            llama_cpp(target, drafter, drafting, files)]  # fmt: skip


def transformers(kind: str, target: str, drafter: str, k: int) -> Setting:
    if kind == "dflash":
        lines = [
            "from dflash.model import DFlashDraftModel, dflash_generate",
            f"drafter = DFlashDraftModel.from_pretrained({drafter!r}, dtype=target.dtype)",
            "output = dflash_generate(drafter, target, input_ids, max_new_tokens, stop_token_ids)",
        ]
        note = (
            "transformers has no DFlash for Gemma 4; z-lab's package dflash 0.1.0 drafts beside its models, "
            "always the whole block"
        )
        return Setting("transformers", "\n".join(lines), note)
    lines = [
        "from transformers import AutoModelForCausalLM",
        f"target = AutoModelForCausalLM.from_pretrained({target!r})",
        f"assistant = AutoModelForCausalLM.from_pretrained({drafter!r})",
        f"assistant.generation_config.num_assistant_tokens = {k}",
        'assistant.generation_config.num_assistant_tokens_schedule = "constant"',
        "output = target.generate(**inputs, assistant_model=assistant, do_sample=False)",
    ]
    return Setting("transformers", "\n".join(lines), "greedy: its sampling with an assistant changes the distribution")


def vllm(kind: str, target: str, drafter: str, k: int) -> Setting:
    speculative = json.dumps({"method": kind, "model": drafter, "num_speculative_tokens": k})
    return Setting("vllm", command(["vllm", "serve", target, "--speculative-config", speculative]))


def sglang(kind: str, target: str, drafter: str, k: int) -> Setting:
    parts = ["python", "-m", "sglang.launch_server", "--model-path", target, "--speculative-draft-model-path", drafter]
    if kind == "mtp":
        parts += [
            "--speculative-algorithm",
            "NEXTN",
            "--speculative-num-steps",
            str(k),
            "--speculative-eagle-topk",
            "1",
        ]
        note = "NEXTN runs a Gemma 4 assistant as FROZEN_KV_MTP; its number of draft tokens counts the anchor"
    else:
        parts += ["--speculative-algorithm", "DFLASH"]
        note = "its number of draft tokens is the block, which counts the anchor"
    return Setting("sglang", command([*parts, "--speculative-num-draft-tokens", str(k + 1)]), note)


def llama_cpp(target: str, drafter: str | None, drafting: Iterable[str], files: Files) -> Setting:
    """The server's command, behind the commands that write the files that no run named."""
    export = ["python", "-m", "harness.export", "gguf"]
    lines, parts = list[str](), ["llama-server", "-m", files.target or "TARGET.gguf"]
    if files.target is None:
        lines.append(command([*export, target, "--out", "TARGET.gguf"]))
    if drafter is not None:
        parts += ["-md", files.drafter or "DRAFTER.gguf"]
        if files.drafter is None:
            lines.append(command([*export, drafter, "--out", "DRAFTER.gguf", "--target", target]))
    note = "the runs name no such GGUF file: export writes it" if lines else ""
    return Setting("llama_cpp", "\n".join([*lines, command([*parts, *drafting])]), note)


def command(parts: Iterable[str]) -> str:
    """A shell command."""
    return shlex.join(parts)

"""The whole recipes: data, training, export, and the facts for the model cards."""

from __future__ import annotations

import json
import sys
from itertools import islice
from pathlib import Path
from typing import Any

import torch

from drafters.errors import InputError
from harness.records.machine import hardware
from harness.records.secrets import redact_command
from harness.target.devices import parse_device
from harness.target.load import load_target
from harness.target.target import Target
from harness.tasks.chat import load_tokenizer
from harness.training.answers import regenerate
from harness.training.config import TrainConfig
from harness.training.corpus import stream
from harness.training.data import Batches, Sequence, corpus_pool, epoch_pool
from harness.training.dflash import build_dflash, dflash_config, dflash_loss
from harness.training.export import export_assistant, export_dflash, export_target
from harness.training.fused import compile_kernels, fused
from harness.training.loop import train
from harness.training.mtp import build_assistant, mtp_loss
from harness.training.prompt_set import write_prompts
from harness.training.target import build_target, target_loss
from harness.training.teacher import Teacher
from harness.training.tokenizer import chat_pieces, train_tokenizer

POOL_CHATS = 512


def run(config: TrainConfig) -> None:
    """Run the configured recipe; a killed run continues from its last checkpoint."""
    if config.threads:
        torch.set_num_threads(config.threads)
    if config.compile:
        compile_kernels()
    out = Path(config.output_dir)
    out.mkdir(parents=True, exist_ok=True)
    if config.recipe in ("target", "pair"):
        train_target(config, out)
    if config.recipe in ("mtp", "pair"):
        train_mtp(config, out)
    if config.recipe in ("dflash", "pair"):
        train_dflash(config, out)
    if config.recipe == "pair":
        write_prompts(out / "prompts.jsonl")
        if config.quality_prompts:
            from harness.training.cards import write_cards

            write_cards(out, config.quality_prompts)


def keep_fact(config: TrainConfig, out: Path, name: str, facts: dict[str, Any]) -> None:
    """Add the figures of a training run to `facts.json`, the source of the model cards."""
    path = out / "facts.json"
    known = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    device = parse_device(config.target_loop.device if name == "target" else config.drafter_loop.device)
    machine = hardware(device)
    place = machine["gpu"]["name"] if machine["gpu"] else f"{machine['cpu']}, {torch.get_num_threads()} threads"
    known[name] = {
        **facts,
        "seed": config.seed,
        "torch": torch.__version__,
        "hardware": place,
        "command": " ".join(("python -m harness.train", *redact_command(sys.argv[1:]))),
    }
    path.write_text(json.dumps(known, indent=2) + "\n", encoding="utf-8")


def learn_tokenizer(config: TrainConfig) -> Any:
    """The tokenizer, learned from the training side of the corpus without its marks."""
    chats = islice(stream(config.seed), config.tokenizer.chats)
    marks = ("<bos>", "<|turn>", "<turn|>")

    def plain(text: str) -> str:
        for mark in marks:
            text = text.replace(mark, "")
        return text

    texts = (plain("".join(text for text, _ in chat_pieces(chat))) for chat in chats)
    return train_tokenizer(texts, config.tokenizer.vocab_size)


def train_target(config: TrainConfig, out: Path) -> None:
    """Train a target from scratch, to `out/target`."""
    tokenizer = learn_tokenizer(config)
    if len(tokenizer) != config.shape.vocab_size:
        raise InputError(f"shape.vocab_size is {config.shape.vocab_size}: expected the tokenizer's {len(tokenizer)}")
    model = build_target(config.shape, config.seed)
    loop = config.target_loop
    batches = Batches(corpus_pool(tokenizer, config.seed, POOL_CHATS), loop.batch_tokens, config.seed, loop.max_length)
    with fused(model.config):
        facts = train(model, target_loss(model, config.prompt_weight), batches, loop, out / "runs" / "target", "target")
    export_target(model, tokenizer, out / "target")
    facts["parameters"] = sum(p.numel() for p in model.parameters())
    keep_fact(config, out, "target", facts)


def load_source(config: TrainConfig, out: Path) -> tuple[Target, Any]:
    """The target to train drafters for, and its tokenizer."""
    path = config.source.path or str(out / "target")
    return load_target(path, config.drafter_loop.device, config.source.dtype), load_tokenizer(path)


def _batches(config: TrainConfig, sequences: list[Sequence]) -> Batches:
    loop = config.drafter_loop
    kept = [s for s in sequences if len(s.token_ids) <= loop.max_length]
    return Batches(epoch_pool(kept), loop.batch_tokens, config.seed, loop.max_length)


def _drafter_facts(facts: dict[str, float], model: Any, sequences: list[Sequence]) -> dict[str, float]:
    parameters = float(sum(p.numel() for p in model.parameters()))
    return {
        **facts, "parameters": parameters, "answers": float(len(sequences)),
        "answer_tokens": float(sum(sum(s.spoken) for s in sequences)),
    }  # fmt: skip


def train_mtp(config: TrainConfig, out: Path) -> None:
    """Train an MTP assistant for the source target, to `out/mtp`."""
    target, tokenizer = load_source(config, out)
    sequences = regenerate(target, tokenizer, config.answers, out / "answers.jsonl")
    teacher = Teacher(target.model)
    model = build_assistant(teacher, config.mtp, config.seed)
    with fused(teacher.config, model.config.text_config):
        loss = mtp_loss(model, teacher, config.mtp, config.hard_share)
        facts = train(model, loss, _batches(config, sequences), config.drafter_loop, out / "runs" / "mtp", "mtp")
    export_assistant(model, out / "mtp")
    keep_fact(config, out, "mtp", _drafter_facts(facts, model, sequences))


def train_dflash(config: TrainConfig, out: Path) -> None:
    """Train a DFlash drafter for the source target, to `out/dflash`."""
    target, tokenizer = load_source(config, out)
    sequences = regenerate(target, tokenizer, config.answers, out / "answers.jsonl")
    teacher = Teacher(target.model)
    mask = tokenizer.convert_tokens_to_ids("<mask>")
    if mask is None or mask == tokenizer.unk_token_id:
        raise InputError("the target's tokenizer has no <mask> token, which DFlash's blocks need (source.path)")
    model = build_dflash(dflash_config(teacher.config, config.dflash, mask), teacher, config.seed)
    with fused(teacher.config):
        loss = dflash_loss(model, teacher, config.dflash, config.hard_share)
        facts = train(model, loss, _batches(config, sequences), config.drafter_loop, out / "runs" / "dflash", "dflash")
    export_dflash(model, out / "dflash", teacher.config)
    keep_fact(config, out, "dflash", _drafter_facts(facts, model, sequences))

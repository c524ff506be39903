"""The diagnosis of two checkpoint folders without a run: the target answers some of the embedded prompts first."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from drafters.checkpoints.files import read_model_config, resolve_folder
from drafters.errors import InputError
from drafters.layouts.known import find_layout
from drafters.registry import resolve_draft_tokens
from harness.comparison.diagnosis.forcing import Answered
from harness.comparison.diagnosis.measure import ANCHORS, ROWS, diagnose
from harness.comparison.diagnosis.recorded import quiet_loading
from harness.comparison.diagnosis.runs import Report
from harness.config import asset
from harness.decoding.decoder import DecodeSettings
from harness.decoding.loop import decode
from harness.target.devices import dtype_of, parse_device
from harness.target.load import load_drafter, load_target
from harness.target.target import Target
from harness.tasks.chat import load_tokenizer, templated
from harness.tasks.prompts import read_jsonl, stratified

PROMPTS, TOKENS = 32, 64


def diagnose_folder(
    drafter: str, target: str, *, prompts: int = PROMPTS, say: Callable[[str], None] = lambda text: None
) -> Report:
    """Diagnose the drafter folder or hub id `drafter` on greedy answers of `target`.

    Raises InputError for a folder that is no drafter, or one that does not fit.
    """
    quiet_loading()
    layout = find_layout(read_model_config(resolve_folder(drafter, "PATH", weights=False), drafter))
    if layout is None:
        raise InputError(f"--measure: {drafter} is a target, expected a drafter's folder")
    dtype = dtype_of(read_model_config(resolve_folder(target, "--target", weights=False), target))
    loaded = load_target(target, parse_device("auto"), dtype, execution="eager")
    made: Any = load_drafter(layout.kind, drafter, target=loaded)
    say(f"{target}: answers to {prompts} prompts")
    answers = answered(loaded, target, prompts)
    k = resolve_draft_tokens(layout.kind, None, made.max_draft_tokens)
    return Report(diagnose(loaded, made, answers, k, name=layout.kind, anchors=ANCHORS, say=say), None)


def answered(target: Target, path: str, prompts: int, tokens: int = TOKENS) -> list[Answered]:
    """Greedy answers of up to `tokens` tokens to embedded prompts, in the target's chat template where it has one."""
    tokenizer = load_tokenizer(path)
    chosen = stratified(read_jsonl(Path(asset("prompts.jsonl"))), prompts, seed=0)
    texts = [
        templated(tokenizer, prompt.messages(), None) if tokenizer.chat_template else prompt.turns[0]
        for prompt in chosen
    ]
    raw = not tokenizer.chat_template  # a template writes the special tokens itself
    asked = [list(tokenizer(text, add_special_tokens=raw)["input_ids"]) for text in texts]
    settings = DecodeSettings(max_new_tokens=tokens, eos_token_ids=target.eos_token_ids)
    said = decode(target, None, asked, settings, batch_size=ROWS)
    return [
        Answered(number, number, prompt, one.token_ids)
        for number, (prompt, one) in enumerate(zip(asked, said, strict=True))
    ]

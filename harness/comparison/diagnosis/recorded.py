"""The recorded answers of a run, its target, and one of its drafters, from the run's folder."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from transformers.utils import logging

from drafters.adaptive import OPTIONS
from drafters.errors import InputError
from drafters.registry import kind_of
from harness.comparison.diagnosis.forcing import Answered
from harness.config import Arm, RunConfig, read_config
from harness.config.synthetic import RANDOM
from harness.metrics.anchors.outcomes import Anchors
from harness.records.frames import read_generations, read_rounds
from harness.records.prompts import KeptPrompt, read_prompts
from harness.records.stored import read_manifest
from harness.target.devices import parse_device
from harness.target.load import load_drafter, load_target
from harness.target.target import Target
from harness.tasks.chat import Chat, open_chat
from harness.tasks.prompts import Prompt
from harness.vocabulary import BASELINE, OK


@dataclass(frozen=True, slots=True)
class Decoded:
    """The rounds of one arm as they were decoded, as anchors, and the seconds that prefill and decoding took: teacher
    forcing reads the prompts as well."""

    anchors: Anchors
    seconds: float


@dataclass(frozen=True, slots=True)
class Recording:
    """A run that can be drafted again."""

    folder: Path
    config: RunConfig
    manifest: dict[str, Any]
    generations: pd.DataFrame
    prompts: dict[str, KeptPrompt]

    @property
    def arms(self) -> list[Arm]:
        """The arms with a trained drafter, each with the checkpoint that the run loaded."""
        loaded = self.manifest.get("models") or {}
        return [
            replace(arm, path=arm.path or (loaded.get(arm.name) or {}).get("path"))
            for arm in self.config.arms
            if kind_of(arm.kind).trained and arm.weights != RANDOM
        ]

    def k(self, arm: Arm) -> int | None:
        """The k that the arm ran with."""
        described = {str(one.get("name")): one for one in self.manifest.get("arms") or []}
        k = described.get(arm.name, {}).get("num_draft_tokens")
        return int(k) if k else arm.num_draft_tokens

    @property
    def dtype(self) -> str:
        named = (self.manifest.get("target") or {}).get("dtype") or self.config.target.dtype
        return str(named).removeprefix("torch.")


def read_recording(folder: str | Path) -> Recording:
    """Read a run's folder. Raises InputError for a folder without a run, or a run that no drafts can be held against:
    a sampled one, one with random weights or assumed acceptance, one whose prompts were not kept."""
    path = Path(folder)
    manifest, generations, prompts = read_manifest(path), read_generations(path), read_prompts(path)
    settings = manifest.get("config")
    if generations.empty or not settings or "target" not in settings:
        raise InputError(f"{path}: no finished run, expected a run directory with a manifest and generations")
    config = read_config(settings)
    if not config.decoding.greedy:
        raise InputError(
            f"decoding.temperature={config.decoding.temperature} in {path}: expected 0, as a sampled answer does not "
            "say which drafts stand"
        )
    if config.synthetic:
        raise InputError(f"{path} is synthetic ({config.synthetic.split(':')[0]}): expected a run of checkpoints")
    if not prompts:
        raise InputError(f"{path}: no prompts.jsonl, expected the run's prompts beside its records")
    return Recording(path, config, manifest, generations, prompts)


def choose_arms(recording: Recording, name: str | None) -> list[Arm]:
    """The arms to look at: the one called `name`, or all. Raises InputError where there is none."""
    names = ", ".join(arm.name for arm in recording.arms)
    if not names:
        raise InputError(f"{recording.folder}: no arm has a trained drafter, expected mtp or dflash")
    chosen = [arm for arm in recording.arms if name in (None, arm.name)]
    if not chosen:
        raise InputError(f"--drafter {name}: the run has no such arm, expected one of {names}")
    return chosen


def open_target(recording: Recording) -> Target:
    """The run's target, loaded for eager passes."""
    quiet_loading()
    target = recording.config.target
    options = {"execution": "eager", **target.loading}
    return load_target(str(target.path), parse_device(target.device), recording.dtype, **options)


def quiet_loading() -> None:
    """No bar of transformers."""
    logging.disable_progress_bar()


def open_drafter(arm: Arm, target: Target) -> Any:
    """The arm's drafter without its rules for stopping early: every draft is looked at."""
    options = {name: value for name, value in arm.options.items() if name not in OPTIONS}
    return load_drafter(arm.kind, arm.path, target=target, **options)


def answers_of(recording: Recording, arm: str, vocab_size: int) -> list[Answered]:
    """The arm's own answers, or the baseline's where it has none, each behind its rendered prompt.

    Of several repeats or processes the first counts. Raises InputError where a prompt no longer renders as it was.
    """
    chat = open_chat(recording.config, vocab_size)
    table = recording.generations
    table = table[(table["status"] == OK) & (table["engine"] == "harness")]
    own = table[table["arm"] == arm]
    chosen = own if len(own) else table[table["arm"] == BASELINE]
    base = table[table["arm"] == BASELINE] if (table["arm"] == BASELINE).any() else chosen
    said: dict[tuple[str, int], list[int]] = {}
    for row in base.sort_values(["process", "repeat"], ascending=False).to_dict("records"):
        said[row["prompt_id"], int(row["turn"])] = list(row["token_ids"])
    ends = [int(token) for token in (recording.manifest.get("target") or {}).get("eos_token_ids") or []]
    first = chosen.sort_values(["process", "repeat"]).drop_duplicates(["prompt_id", "turn"])
    numbers = {prompt_id: number for number, prompt_id in enumerate(dict.fromkeys(first["prompt_id"]))}
    return list(_answered(first, numbers, recording.prompts, said, ends, chat))


def _answered(
    rows: pd.DataFrame,
    numbers: dict[str, int],
    prompts: dict[str, KeptPrompt],
    said: dict[tuple[str, int], list[int]],
    ends: Sequence[int],
    chat: Chat,
) -> Iterator[Answered]:
    for number, row in enumerate(rows.to_dict("records")):
        prompt_id, turn = row["prompt_id"], int(row["turn"])
        kept = prompts.get(prompt_id)
        if kept is None or any((prompt_id, earlier) not in said for earlier in range(turn)):
            continue
        history = [chat.history(said[prompt_id, earlier], ends) for earlier in range(turn)]
        prompt = Prompt(kept.prompt_id, kept.category, kept.turns, kept.opening)
        tokens = chat.render(prompt, history).token_ids
        if row["prompt_tokens"] and len(tokens) != int(row["prompt_tokens"]):
            raise InputError(
                f"prompt {prompt_id} renders to {len(tokens)} tokens, expected {int(row['prompt_tokens'])} as in the "
                "run: is target.path still the run's checkpoint?"
            )
        yield Answered(number, numbers[prompt_id], tokens, list(row["token_ids"]))


def decoded_rounds(recording: Recording, arm: str, answers: Sequence[Answered]) -> Decoded | None:
    """The arm's recorded rounds on `answers`, its own; None where it has none, or stopped early on purpose."""
    options = next((one.options for one in recording.arms if one.name == arm), {})
    table = recording.generations
    own = table[(table["arm"] == arm) & (table["status"] == OK)].sort_values(["process", "repeat"])
    own = own.drop_duplicates(["prompt_id", "turn"])
    if any(name in options for name in OPTIONS) or len(own) != len(answers):
        return None
    rounds = read_rounds(recording.folder)
    rounds = rounds[rounds["arm"] == arm]
    by_key = dict(iter(rounds.groupby(["prompt_id", "turn", "repeat"], observed=True)))
    parts = []
    for one, row in zip(answers, own.to_dict("records"), strict=True):
        part = by_key.get((row["prompt_id"], row["turn"], row["repeat"]))
        if part is None:
            continue
        place = part["position"].to_numpy(dtype=np.int64) - len(one.prompt)
        known = np.minimum(len(one.answer) - 1 - place, part["drafted"].to_numpy(dtype=np.int64))
        stood = np.minimum(part["accepted"].to_numpy(dtype=np.int64), known)
        many, k = len(part), int(part["drafted"].max())
        columns = (np.full(many, one.prompt_number), np.full(many, one.number), place, known, stood)
        parts.append((k, columns))
    if not parts:
        return None
    k = max(k for k, _ in parts)
    joined = [Anchors(k, *columns, np.zeros((len(columns[0]), k))) for _, columns in parts]
    return Decoded(Anchors.joined(joined), float((own["prefill_s"] + own["decode_s"]).sum()))

"""From names on a command line to a drafter under check."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from transformers import AutoTokenizer
from transformers.utils.logging import disable_progress_bar

from drafters.base import Drafter
from drafters.checkpoints.files import resolve_folder
from drafters.errors import InputError
from drafters.registry import Kind, resolve
from harness.config.target import EMBEDDED, asset
from harness.decoding.contract.subject import Subject
from harness.target.load import load_drafter, load_target
from harness.target.target import Target
from harness.vocabulary import ASSETS

PROMPTS, LONGEST = 4, 40


def open_subject(kind: Kind, target: str, path: str | None, options: dict[str, Any]) -> Subject:
    """The drafter `kind` with `options` on a target in float32, whose prompts are the shipped ones.

    `target` is a name of EMBEDDED, a folder or a hub id. Raises InputError for a target or a drafter that cannot be
    made, and for a trained drafter without a checkpoint.
    """
    disable_progress_bar()  # the checks' lines are the progress
    if target in EMBEDDED and path is None and kind.trained:
        path = beside(target, kind.name)
    if kind.trained and path is None:
        raise InputError(f"--path is empty: {kind.name} is a trained drafter, expected a checkpoint folder or a hub id")
    folder = Path(asset(EMBEDDED[target])) if target in EMBEDDED else resolve_folder(target, "--target")
    loaded = load_target(folder, dtype="float32", execution="eager")
    network = None if path is None else network_of(kind, path, loaded)

    def make() -> Drafter:
        return load_drafter(kind.name, network, target=loaded, **options)

    make()  # its options are wrong here, or never
    return Subject(loaded, kind, make, shipped_prompts(folder, loaded))


def beside(target: str, kind: str) -> str | None:
    """The shipped checkpoint of a kind for an embedded target; None where there is none."""
    folder = Path(asset(EMBEDDED[target])).parent / kind
    return str(folder) if folder.is_dir() else None


def network_of(kind: Kind, path: str, target: Target) -> Any:
    """The network of a trained drafter, loaded once for all checks."""
    if kind.load is None:
        raise InputError(f"--path {path}: {kind.name} is no trained drafter, expected none")
    return resolve(kind.load)(resolve_folder(path, "--path"), "--path", target.device, target.dtype)


def shipped_prompts(folder: Path, target: Target) -> list[list[int]]:
    """Beginnings of shipped prompts as the target's tokenizer reads them, of different lengths."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    lines = (ASSETS / "prompts.jsonl").read_text(encoding="utf-8").splitlines()
    texts = [json.loads(line)["messages"][0]["content"] for line in lines[:: max(1, len(lines) // PROMPTS)]]
    found = [list(tokenizer.encode(text)) for text in texts[:PROMPTS]]
    return [tokens[: LONGEST - 6 * index] for index, tokens in enumerate(found)]

"""The GGUF files of a run, before any is loaded: named ones by their headers, those to be made by their checkpoints."""

from __future__ import annotations

from pathlib import Path

from drafters.checkpoints.files import read_model_config, resolve_folder
from drafters.errors import InputError
from harness.config import RunConfig
from harness.config.arms import Arm
from harness.engines.gguf.fit import Sizes, check_drafter, check_same, read_drafter, read_target, sizes_in
from harness.engines.gguf.write import check_exportable
from harness.target.files import check_target
from harness.vocabulary import BASELINE, LLAMA_CPP


def check_files(config: RunConfig) -> None:
    """Raise InputError for a file that is missing, cut, another architecture's or another model's, or a drafter that
    does not fit or drafts fewer tokens than are asked."""
    named = [
        arm for arm in config.arms if arm.gguf is not None and (arm.engine == LLAMA_CPP or not config.engine.beside)
    ]
    if config.target.gguf is None and not named:
        return
    folder = resolve_folder(str(config.target.path), "target.path", config.target.revision, weights=False)
    raw = read_model_config(folder, "target.path")
    check_target(raw, "target.path")
    if config.target.gguf is not None:
        check_same(read_target(Path(config.target.gguf).expanduser(), "target.gguf"), raw, "target.gguf")
    for arm in named:
        _check_drafter(arm, sizes_in(raw))


def check_exports(config: RunConfig) -> None:
    """Raise InputError for a checkpoint that a file must be made from and that llama.cpp would compute otherwise.

    Arms with a running server need no file.
    """
    engine = config.engine
    theirs = [arm for arm in config.arms if arm.engine == LLAMA_CPP and engine.url_of(arm.name) is None]
    made = [arm for arm in theirs if arm.gguf is None and arm.path is not None]
    whole = config.target.gguf is None and bool(theirs or (engine.runs_baseline and engine.url_of(BASELINE) is None))
    if not made and not whole:
        return
    target = resolve_folder(str(config.target.path), "target.path", config.target.revision, weights=False)
    if whole:
        check_exportable(target, None, "target.path")
    for arm in made:
        key = f"drafters.{engine.asked_as(arm.name)}.path"
        check_exportable(resolve_folder(str(arm.path), key, weights=False), target, key)


def _check_drafter(arm: Arm, target: Sizes) -> None:
    key = f"drafters.{arm.name}.gguf"
    fit = check_drafter(read_drafter(Path(str(arm.gguf)).expanduser(), key, arm.kind), target, key)
    most, asked = fit.max_draft_tokens, arm.num_draft_tokens
    if most is not None and asked is not None and asked > most:
        raise InputError(f"{key}: the file drafts up to {most} tokens, but num_draft_tokens={asked} is asked")

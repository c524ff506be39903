"""Every published target and drafter layout, at reduced width, loads from its folder and changes no greedy token."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from harness import generate, load_drafter, load_target
from harness.target.target import Target
from tests.helpers import drafter_folders as folders
from tests.helpers import published_drafters as published
from tests.helpers import tiny_models as tiny

NEW = 18


@pytest.fixture(scope="module")
def target_of(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Target]]:
    loaded: dict[str, Target] = {}

    def get(name: str) -> Target:
        if name not in loaded:
            folder = folders.write_target(tmp_path_factory.mktemp("targets") / name, name)
            loaded[name] = load_target(str(folder), dtype="float32")
        return loaded[name]

    yield get


@functools.cache
def reference(target: Target, length: int) -> list[int]:
    """transformers' own answer, once per target and prompt."""
    model: Any = target.model
    ids = torch.tensor([tiny.prompt(length)])
    out = model.generate(ids, do_sample=False, max_new_tokens=NEW, eos_token_id=None, pad_token_id=0)
    return out[0, length:].tolist()


def check(target: Target, kind: str, folder: Path, k: int) -> Any:
    """Decode prompts inside and past the window with the drafter of `folder`; every token must be the target's."""
    drafter = load_drafter(kind, str(folder), target=target)
    for length in (7, 3 * folders.WINDOW):
        decoded = generate(target, drafter, tiny.prompt(length), num_draft_tokens=k, max_new_tokens=NEW)
        assert decoded.token_ids == reference(target, length)
        assert all(round_.drafted == k for round_ in decoded.rounds)
    return drafter


@pytest.mark.parametrize("name", published.NAMES)
def test_target_is_its_text_part_alone(target_of: Callable[[str], Target], name: str) -> None:
    model = target_of(name).model
    assert type(model).__name__ == ("Gemma4UnifiedForCausalLM" if name == "12B" else "Gemma4ForCausalLM")
    assert not any("vision" in part or "audio" in part for part, _ in model.named_modules())


@pytest.mark.parametrize("name", published.NAMES)
def test_assistants(target_of: Callable[[str], Target], tmp_path: Path, name: str) -> None:
    drafter = check(target_of(name), "mtp", folders.write_assistant(tmp_path, name), 4)
    assert drafter.model.config.use_ordered_embeddings == (name in published.EDGE)


@pytest.mark.parametrize("name", published.SERVER)
@pytest.mark.parametrize("k", [15, 4])
def test_zlab_dflash(target_of: Callable[[str], Target], tmp_path: Path, name: str, k: int) -> None:
    drafter = check(target_of(name), "dflash", folders.write_block(tmp_path, folders.small_zlab(name)), k)
    assert drafter.max_draft_tokens == 15
    assert drafter.scale == pytest.approx(target_of(name).config.hidden_size ** 0.5)


@pytest.mark.parametrize("name", ["E2B", "31B"])
def test_zlab_dflash2(target_of: Callable[[str], Target], tmp_path: Path, name: str) -> None:
    check(target_of(name), "dflash", folders.write_block(tmp_path, folders.small_zlab(name, second=True)), 15)


@pytest.mark.parametrize("markov", [False, True])
def test_deepspec(target_of: Callable[[str], Target], tmp_path: Path, markov: bool) -> None:
    raw = folders.small_deepspec(markov=markov)
    drafter = check(target_of("12B"), "dflash", folders.write_block(tmp_path, raw), 7)
    assert drafter.max_draft_tokens == 7


@pytest.mark.parametrize(("kind", "name", "most"), [("dflash", "31B", 7), ("dspark", "E4B", 5), ("dflash2", "E2B", 7)])
def test_speculators(
    target_of: Callable[[str], Target], tmp_path: Path, kind: str, name: str, most: int
) -> None:
    folder = folders.write_block(tmp_path, folders.small_speculators(kind, name))
    drafter = check(target_of(name), "dflash", folder, most)
    assert drafter.max_draft_tokens == most
    assert drafter.scale == 1.0


def test_speculators_may_leave_to_the_target_what_is_its_own(
    target_of: Callable[[str], Target], tmp_path: Path
) -> None:
    raw = folders.small_speculators("dflash2", "E2B")
    left_out = ("embed_tokens.weight", "lm_head.weight")
    drafter = check(target_of("E2B"), "dflash", folders.write_block(tmp_path, raw, leave_out=left_out), 7)
    assert drafter.model.embed_tokens is None
    assert drafter.model.lm_head is None


def test_draft_vocabulary_bounds_what_is_drafted(target_of: Callable[[str], Target], tmp_path: Path) -> None:
    folder = folders.write_block(tmp_path, folders.small_speculators("dflash", "31B"))
    target = target_of("31B")
    drafter = load_drafter("dflash", str(folder), target=target)
    known = set(folders.stored(folder)["t2d"].nonzero().flatten().tolist())
    for temperature in (0.0, 1.0):
        decoded = generate(target, drafter, tiny.prompt(20), max_new_tokens=NEW, temperature=temperature)
        drafted = {token for round_ in decoded.rounds for token in round_.draft_token_ids}
        assert len(drafted) > 3
        assert drafted <= known

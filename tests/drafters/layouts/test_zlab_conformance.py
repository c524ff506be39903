"""Our block drafter agrees with z-lab's own package (dflash 0.1.0) on the same folders, draft by draft.

The package decodes greedily; its drafts of every round are recorded on the way, then ours are asked for at the same
anchors with the same verified context. Positions pass the windows of drafter and target, with rejections on the way.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from drafters.base import Sampling, TargetPass
from drafters.dflash.drafter import DFlashDrafter
from harness import load_drafter, load_target
from harness.target.target import Target
from tests.helpers import drafter_folders as folders
from tests.helpers import tiny_models as tiny

reference: Any = pytest.importorskip("dflash.model")

PROMPT, NEW, CAPACITY = 22, 40, 128


def theirs(folder: Path, target: Target, prompt: list[int]) -> tuple[list[tuple[int, list[int]]], list[int]]:
    """(anchor position, drafts) of every round, and the decoded tokens, by the package."""
    raw = json.loads((folder / "config.json").read_text())
    name = raw["architectures"][0]
    model = getattr(reference, name).from_pretrained(folder, dtype=torch.float32).eval()
    rounds: list[tuple[int, list[int]]] = []
    start = torch.arange(1)

    def verify(*arguments: Any, **options: Any) -> Any:
        ids = arguments[0] if arguments else options["input_ids"]
        position = int(options["position_ids"][0, 0])
        if position:
            rounds.append((position, ids[0, 1:].tolist()))
        return target.model(*arguments, **options)

    verify.device = start.device  # type: ignore[attr-defined]
    verify.config = target.model.config  # type: ignore[attr-defined]
    verify.lm_head = target.model.lm_head  # type: ignore[attr-defined]
    verify.get_input_embeddings = target.model.get_input_embeddings  # type: ignore[attr-defined]
    out = reference.dflash_generate(model, verify, torch.tensor([prompt]), NEW, None)
    return rounds, out[0, len(prompt) :].tolist()


def context(target: Target, drafter: DFlashDrafter, tokens: list[int], k: int, sampling: Sampling) -> None:
    """Let the drafter see the verified `tokens` and nothing else."""
    cache = target.new_cache(1, CAPACITY, k + 1)
    noise = torch.rand(1, CAPACITY, dtype=torch.float64, generator=torch.Generator().manual_seed(7))
    drafter.begin(target.view(cache), 1, CAPACITY, k, sampling, noise)
    drafter.reach = CAPACITY
    drafter.start(run(target, cache, tokens, drafter), 0)


def run(target: Target, cache: Any, tokens: list[int], drafter: DFlashDrafter) -> TargetPass:
    return target.run(cache, torch.tensor([tokens]), torch.arange(len(tokens))[None], drafter.taps)


def propose(
    target: Target, drafter: DFlashDrafter, tokens: list[int], k: int, sampling: Sampling | None = None
) -> Any:
    """Our proposal after `tokens`, the last of which is the anchor."""
    with torch.inference_mode():
        context(target, drafter, tokens[:-1], k, sampling or Sampling())
        return drafter.propose(torch.tensor([tokens[-1]]), torch.tensor([len(tokens) - 1]))


@pytest.fixture(params=["31B", "31B second", "E2B second"])
def pair(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, Target]:
    name, _, second = request.param.partition(" ")
    raw = folders.small_zlab(name, second=bool(second))
    # The package takes embeddings as they are unless the config says otherwise.
    raw["dflash_config"]["input_embedding_scale"] = raw["hidden_size"] ** 0.5
    folder = folders.write_block(tmp_path / "drafter", raw)
    return folder, load_target(str(folders.write_target(tmp_path / "target", name)))


def test_drafts_agree_on_every_round(pair: tuple[Path, Target]) -> None:
    folder, target = pair
    prompt = tiny.prompt(PROMPT)
    rounds, answer = theirs(folder, target, prompt)
    drafter: Any = load_drafter("dflash", str(folder), target=target)
    tokens = prompt + answer
    assert rounds[-1][0] > folders.WINDOW + 16
    for position, drafts in rounds:
        ours = propose(target, drafter, tokens[: position + 1], len(drafts))
        assert ours.tokens[0].tolist() == drafts


def test_path_selection_declares_what_it_draws_from(tmp_path: Path) -> None:
    """q under sampling: the package's conditional softmax along our path, at every slot."""
    raw = folders.small_zlab("31B", second=True)
    folder = folders.write_block(tmp_path / "drafter", raw)
    target = load_target(str(folders.write_target(tmp_path / "target", "31B")))
    drafter: Any = load_drafter("dflash", str(folder), target=target)
    model = reference.DFlash2DraftModel.from_pretrained(folder, dtype=torch.float32).eval()
    hidden = torch.randn(3, 15, raw["hidden_size"], generator=torch.Generator().manual_seed(1))
    anchor, temperature = torch.tensor([5, 9, 23]), 0.7
    with torch.inference_mode():
        logits = model.compute_logits(hidden, target.model.lm_head)
        ours_logits = drafter.model.logits(hidden, target.head, target.dtype)
        assert torch.equal(logits, ours_logits)
        proposal = _choose(drafter, hidden, logits, anchor, temperature)
        draws = iter(proposal.tokens.T)

        def follow(probs: Tensor) -> Tensor:
            """Stand in for the package's random draw: take the token that we drew."""
            token, candidates = next(draws), next(best)
            return (candidates == token[:, None]).long().argmax(dim=-1)[:, None]

        best = iter(logits.topk(model.candidate_selector.top_k, sorted=False).indices.unbind(1))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(reference, "_sample_probs", lambda probs: follow(probs).squeeze(-1))
            path, candidates, q = model.candidate_selector.select(hidden, logits, anchor, temperature)
    assert torch.equal(path, proposal.tokens)
    dense = torch.zeros_like(proposal.probs).scatter_(-1, candidates, q)
    assert torch.allclose(dense, proposal.probs, atol=1e-6)
    assert torch.allclose(proposal.probs.sum(-1), torch.ones(3, 15))


def _choose(drafter: Any, hidden: Tensor, logits: Tensor, anchor: Tensor, temperature: float) -> Any:
    from drafters.adaptive import DraftLimit
    from drafters.dflash.choose import choose

    uniform = torch.rand(3, 15, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    return choose(drafter.model, hidden, logits, anchor, uniform, Sampling(temperature), DraftLimit())

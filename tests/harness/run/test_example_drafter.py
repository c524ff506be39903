"""The example package: installed, listed, held to the contract, compared; and what its drafter drafts."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from drafters.base import Proposal, Sampling, TargetPass
from drafters.errors import InputError
from drafters.registry import find_kind
from harness import generate, load_drafter
from harness.decoding.contract.checks import judge
from harness.launch.command.listing import drafters
from harness.run import run
from harness.vocabulary import EXIT_OK
from tests.helpers import reference
from tests.helpers import tiny_models as tiny
from tests.helpers.contract import small_subject, small_target
from tests.helpers.example_drafter import EXAMPLE, install_example, pairs_module
from tests.helpers.packages import Install

CAPACITY, V = 64, 24


@pytest.fixture
def example(install: Install) -> None:
    """The package is installed."""
    pairs_module()
    install_example(install("none", {}))


@pytest.mark.usefixtures("example")
def test_it_is_listed_with_its_package() -> None:
    [entry] = [entry for entry in drafters() if entry.package]
    assert (entry.name, entry.package) == ("pairs", "drafthouse-example-drafter 0.1.0")
    assert entry.about.startswith("chains pairs of tokens")


@pytest.mark.usefixtures("example")
def test_it_keeps_to_the_contract() -> None:
    kind = find_kind("drafthouse_example_drafter.pairs:PairsDrafter")
    subject = small_subject(lambda: load_drafter(kind.name, target=small_target()), kind)
    assert {verdict.check.name: verdict.found for verdict in judge(subject) if verdict.found or verdict.skipped} == {}


@pytest.mark.usefixtures("example", "blank_charts")
def test_it_runs_as_an_arm_by_its_name(configure: Callable[..., Any], tmp_path: Path) -> None:
    outcome = run(configure(drafter=["pairs"], count=2), tmp_path / "run")
    [row] = [row for row in outcome.summary["rows"] if row["arm"] == "pairs" and row["category"] == "all"]
    assert (outcome.exit_code, row["verdict_exact"]) == (EXIT_OK, 2)


def test_the_readmes_commands_are_those_that_are_tested_here() -> None:
    text = (EXAMPLE / "README.md").read_text(encoding="utf-8")
    [block] = re.findall(r"```bash\n(.*?)```", text, re.DOTALL)
    assert block.splitlines() == [
        "pip install --no-deps --editable examples/drafthouse_example_drafter",
        "drafthouse check-drafter drafthouse_example_drafter.pairs:PairsDrafter",
        "drafthouse 'drafter=[lookup,pairs]' dataset.limit=28",
    ]


# -- its drafts --------------------------------------------------------------------------------------------------------


def drafts(text: list[int], k: int, **options: Any) -> list[int]:
    """What it drafts after `text`, whose last token is the anchor."""
    drafter = pairs_module().PairsDrafter(**options)
    target: Any = SimpleNamespace(config=SimpleNamespace(vocab_size=V), device=torch.device("cpu"))
    drafter.begin(target, 1, CAPACITY, k, Sampling(), torch.zeros(1, CAPACITY))
    ids = torch.tensor([text[:-1]])
    drafter.start(TargetPass(ids, torch.arange(len(text) - 1)[None], torch.zeros(1, len(text) - 1, 1), None), 0)
    found: Proposal = drafter.propose(torch.tensor(text[-1:]), torch.tensor([len(text) - 1]))
    assert found.count is not None
    tokens: list[int] = found.tokens[0].tolist()
    return tokens[: int(found.count[0])]


def chained(text: list[int], k: int, backoff: bool) -> list[int]:
    """The same by looking through the text: what last followed the last two tokens, else what last followed one."""
    out = list(text)
    for _ in range(k):
        for size in (2, 1) if backoff else (2,):
            ends = [i for i in range(size - 1, len(text) - 1) if text[i - size + 1 : i + 1] == out[-size:]]
            if ends and len(out) >= size:
                out.append(text[ends[-1] + 1])
                break
        else:
            break
    return out[len(text) :]


@settings(max_examples=30)
@given(text=st.lists(st.integers(0, 4), min_size=3, max_size=30), k=st.integers(1, 6), backoff=st.booleans())
def test_it_chains_pairs_and_backs_off(text: list[int], k: int, backoff: bool) -> None:
    assert drafts(text, k, backoff=backoff) == chained(text, k, backoff)


@pytest.mark.usefixtures("example")
def test_it_learns_from_the_answer_and_forgets_rejected_tokens() -> None:
    target = reference.target("dense_k_eq_v")
    drafter = load_drafter("pairs", target=target)
    found = generate(target, drafter, tiny.prompt(9), max_new_tokens=60)
    assert found.token_ids == reference.answer("dense_k_eq_v", 9)[:60]
    text = tiny.prompt(9) + found.token_ids
    for one in found.rounds:
        assert list(one.draft_token_ids) == chained(text[: one.position + 1], 4, True)


def test_an_option_that_is_no_truth_value_is_refused() -> None:
    with pytest.raises(InputError, match=r"drafters\.pairs\.backoff=maybe: expected true or false"):
        pairs_module().PairsDrafter(backoff="maybe")

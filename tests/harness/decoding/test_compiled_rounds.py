"""Compiled rounds give the eager tokens, and a later run finds their programs."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from typing import Any

import pytest

from drafters.base import Drafter, Sampling
from harness import generate, load_drafter, load_target
from harness.decoding import pool
from harness.decoding.compiled import package, workers
from harness.decoding.compiled.program import Program
from harness.decoding.compiled.program import prepare as make
from harness.decoding.compiled.workers import Workers
from harness.decoding.decoder import DecodeSettings
from harness.decoding.loop import capacity_for
from harness.decoding.programs import REACH_STEP
from harness.records.cache import VARIABLE
from harness.target.target import Target
from tests.helpers import tiny_models as tiny

SMALL = {"num_hidden_layers": 2, "layer_types": [tiny.S, tiny.F]}
Case = tuple[str, float, str]
CASES: list[Case] = [
    ("mtp", 0.0, "experts"),
    ("mtp", 0.9, "dense_k_eq_v"),
    ("dflash", 0.0, "dense_k_eq_v"),
    ("dflash", 0.9, "dense_k_eq_v"),
]
PROMPTS = [tiny.prompt(20), tiny.prompt(7, seed=1)]
K, NEW = 2, 30
A_DAY_S = 86_400


def case_of(name: str, temperature: float, structure: str, execution: str, seed: int = 0) -> tuple[Target, Drafter]:
    """A target with the seed's weights, and its drafter."""
    model = tiny.target_model(structure, seed, **SMALL)
    target = load_target(model, execution=execution)
    if name == "mtp":
        return target, load_drafter(name, tiny.assistant_model(model), target=target)
    block = tiny.dflash_model(model, target_layer_ids=(0,), num_hidden_layers=2, layer_types=(tiny.S, tiny.F))
    return target, load_drafter(name, block, target=target)


def answers(target: Target, drafter: Drafter, temperature: float) -> list[list[int]]:
    options = {"num_draft_tokens": K, "max_new_tokens": NEW, "temperature": temperature}
    return [answer.token_ids for answer in generate(target, drafter, PROMPTS, **options)]


def programs_of(target: Target, drafter: Drafter) -> list[Program]:
    """The programs of a round, all of one reach, and none of which failed."""
    decoder = pool.peek(target, drafter)
    assert set(decoder.programs) == {REACH_STEP["compile"]}
    assert decoder.preparation_s > 0
    of_a_round = decoder.programs[REACH_STEP["compile"]]
    parts: Any = [of_a_round.propose, of_a_round.verify, of_a_round.observe]
    assert [part.failure for part in parts] == [None, None, None]
    return parts


@pytest.fixture(scope="module")
def kept(request: pytest.FixtureRequest) -> Iterator[None]:
    """Pytest's cache keeps programs from one run of the suite to the next.

    A change of the code that decides them makes them anew, as it does for a user.
    """
    with pytest.MonkeyPatch.context() as patch:
        if (cache := getattr(request.config, "cache", None)) is not None:
            patch.setenv(VARIABLE, str(cache.mkdir("compiled")))
            for folder in package.home().iterdir():  # of earlier code
                if time.time() - folder.stat().st_mtime > A_DAY_S:
                    shutil.rmtree(folder, ignore_errors=True)
        yield


@pytest.fixture(scope="module")
def compiled_cases(kept: None) -> dict[Case, tuple[Target, Drafter]]:
    """Every case with its programs, all made at once like those of a run's arms, by one compiler: tests run beside."""
    found, chains = {}, []
    for case in CASES:
        found[case] = target, drafter = case_of(*case, "compile")
        capacity = capacity_for(PROMPTS, NEW, K, "compile")
        decoder = pool.get(target, drafter, DecodeSettings(K, NEW, Sampling(case[1])), len(PROMPTS), capacity)
        chains += decoder.chains(map(len, PROMPTS), NEW)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(workers, "usable_cpus", lambda: 1)
        make(chains)
    return found


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES, ids=str)
def test_compiled_rounds_give_the_eager_tokens(case: Case, compiled_cases: dict[Case, tuple[Target, Drafter]]) -> None:
    compiled = compiled_cases[case]
    assert answers(*compiled, case[1]) == answers(*case_of(*case, "eager"), case[1])
    assert programs_of(*compiled)[1].loaded is not None


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES[:1] + CASES[-1:], ids=str)
def test_a_later_run_finds_the_programs_of_an_earlier_one_and_other_weights_run_through_them(
    case: Case, compiled_cases: dict[Case, tuple[Target, Drafter]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Workers, "submit", lambda *_: pytest.fail("a program was compiled again"))
    first = answers(*compiled_cases[case], case[1])
    again = case_of(*case, "compile")
    assert answers(*again, case[1]) == first
    assert programs_of(*again)[1].loaded is not None
    other = case_of(*case, "compile", seed=5)
    assert answers(*other, case[1]) == answers(*case_of(*case, "eager", seed=5), case[1]) != first

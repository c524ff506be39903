"""Compiled rounds give the eager tokens, and a later run finds their programs."""

from __future__ import annotations

import shutil
import time

import pytest

from drafters.base import Drafter, Sampling
from harness import generate, load_drafter, load_target
from harness.decoding import pool
from harness.decoding.compiled import package
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
K, NEW = 3, 30
A_DAY_S = 86_400


def case_of(name: str, temperature: float, structure: str, execution: str) -> tuple[Target, Drafter]:
    model = tiny.target_model(structure, **SMALL)
    target = load_target(model, execution=execution)
    if name == "mtp":
        return target, load_drafter(name, tiny.assistant_model(model), target=target)
    block = tiny.dflash_model(model, target_layer_ids=(0,), num_hidden_layers=2, layer_types=(tiny.S, tiny.F))
    return target, load_drafter(name, block, target=target)


@pytest.fixture(scope="module")
def compiled_cases(request: pytest.FixtureRequest) -> dict[Case, tuple[Target, Drafter]]:
    """Every case with its programs, all made at once like those of a run's arms: two compilers start, not eight.

    Pytest's cache keeps them from one run of the suite to the next. A change of the code that decides them makes them
    anew, as it does for a user.
    """
    found, chains = {}, []
    for case in CASES:
        found[case] = target, drafter = case_of(*case, "compile")
        capacity = capacity_for(PROMPTS, NEW, K, "compile")
        decoder = pool.get(target, drafter, DecodeSettings(K, NEW, Sampling(case[1])), len(PROMPTS), capacity)
        chains += decoder.chains(map(len, PROMPTS), NEW)
    with pytest.MonkeyPatch.context() as patch:
        if (kept := getattr(request.config, "cache", None)) is not None:
            patch.setenv(VARIABLE, str(kept.mkdir("compiled")))
            for folder in package.home().iterdir():  # of earlier code
                if time.time() - folder.stat().st_mtime > A_DAY_S:
                    shutil.rmtree(folder, ignore_errors=True)
        make(chains)
    return found


@pytest.mark.slow
@pytest.mark.parametrize(("name", "temperature", "structure"), CASES)
def test_compiled_rounds_give_the_eager_tokens(
    name: str, temperature: float, structure: str, compiled_cases: dict[Case, tuple[Target, Drafter]]
):
    case = (name, temperature, structure)
    answers = []
    for execution in ("eager", "compile"):
        target, drafter = compiled_cases[case] if execution == "compile" else case_of(*case, execution)
        options = {"num_draft_tokens": K, "max_new_tokens": NEW, "temperature": temperature}
        answers.append([g.token_ids for g in generate(target, drafter, PROMPTS, **options)])
        if execution == "compile":
            decoder = pool.peek(target, drafter)
            assert set(decoder.programs) == {REACH_STEP["compile"]}
            programs = decoder.programs[REACH_STEP["compile"]]
            assert not any(part.failure for part in (programs.propose, programs.verify, programs.observe))
            assert decoder.preparation_s > 0
    assert answers[0] == answers[1]


@pytest.mark.slow
def test_a_later_run_finds_the_programs_of_an_earlier_one_and_other_weights_run_through_them(
    monkeypatch: pytest.MonkeyPatch,
):
    options = {"max_new_tokens": 30, "num_draft_tokens": 3}
    prompt = tiny.prompt(9)

    def answers(seed: int, execution: str) -> list[int]:
        model = tiny.target_model(seed=seed, num_hidden_layers=1, layer_types=[tiny.F])
        target = load_target(model, execution=execution)
        drafter = load_drafter("random", target=target)
        tokens = generate(target, drafter, prompt, **options).token_ids
        if execution == "compile":
            programs = pool.peek(target, drafter).programs[REACH_STEP["compile"]]
            assert programs.verify.loaded is not None
            assert not any(part.failure for part in (programs.propose, programs.verify, programs.observe))
        return tokens

    assert answers(0, "compile") == answers(0, "eager")
    monkeypatch.setattr(Workers, "submit", lambda *_: pytest.fail("a program was compiled again"))
    assert answers(0, "compile") == answers(0, "eager")
    assert answers(5, "compile") == answers(5, "eager") != answers(0, "eager")

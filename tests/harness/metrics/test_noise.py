"""The noise of a run, from its records: the spread of the baseline's pace, and other load on the machine."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from harness.metrics.noise import noise_of, relative_paces, run_doubts, typical_steps


def table(steps: Any, **columns: Any) -> pd.DataFrame:
    """Baseline generations of 11 tokens, each step taking as long as `steps` says."""
    rows = [
        {"prompt_id": f"p{i}", "arm": "baseline", "token_ids": [1] * 11, "decode_s": 10 * step, "prefill_s": 0.1}
        for i, step in enumerate(steps)
    ]
    return pd.DataFrame(rows).assign(**columns)


def machine(**fields: float) -> dict[str, Any]:
    return {"wall_s": 1.0, "cpu_s": 1.0, "waited_s": 0.0, "others_s": 0.0, "present_s": 2.0, "threads": 1, **fields}


IDLE, LOADED = machine(others_s=0.03, waited_s=0.01), machine(cpu_s=0.6, waited_s=0.4, others_s=1.3)


def doubts(generations: pd.DataFrame) -> dict[str, str]:
    return {one.code: one.message for one in run_doubts(generations, noise_of(generations))}


@pytest.mark.parametrize(
    ("steps", "said"),
    [
        ([], "the baseline's pace is known from 0 generations, its spread is not"),
        ([0.01], "the baseline's pace is known from 1 generation, its spread is not; 0 of 1 generations"),
        ([0.01, 0.0125], "varied from -10 % to +12 % over the run (2 generations); 0 of 2"),
        ([0.01] * 5, "varied from +0 % to +0 % over the run (80 % of 5 generations); 0 of 5"),
        ([0.01] * 9, "(80 % of 9 generations); +0 % from its first third to its last; 0 of 9"),
    ],
)
def test_the_line_is_written_for_any_number_of_generations(steps: list[float], said: str) -> None:
    found = noise_of(table(steps) if steps else pd.DataFrame())
    assert said in found["text"]
    assert doubts(table(steps) if steps else pd.DataFrame()) == {}


def test_longer_prompts_are_no_drift_and_an_outlier_bends_nothing() -> None:
    lengths = np.linspace(100, 4000, 30)
    steps = 0.01 + 1e-6 * lengths
    steps[4] *= 30
    typical = typical_steps(steps, lengths, np.full(30, 100.0))
    assert np.delete(typical, 4) == pytest.approx(np.delete(steps, 4))
    grown = table(steps, prompt_tokens=lengths.astype(int))
    assert doubts(grown) == {}
    assert abs(noise_of(grown)["pace_drift"]) < 0.01


def answers(counts: Any, prompts: Any, *, slower: Any = 1.0) -> pd.DataFrame:
    """Baseline generations of `counts` steps after `prompts` tokens: 1 ms a step, 2 ms more for the first ones."""
    counts, prompts = np.asarray(counts), np.asarray(prompts)
    steps = (1e-3 + 2e-3 / counts + 1e-6 * (prompts + (counts + 1) / 2)) * slower
    return table(steps, new_tokens=counts + 1, prompt_tokens=prompts, decode_s=steps * counts)


@pytest.mark.parametrize("slower", [1.0, 1.5])
def test_short_answers_to_long_prompts_at_the_end_are_no_drift_and_a_slower_machine_there_is(slower: float) -> None:
    """The first steps of an answer are slow, so a dataset sorted by category would look like a machine that tires."""
    rng = np.random.default_rng(0)
    counts = np.concatenate((rng.integers(30, 128, 40), rng.integers(5, 60, 20)))
    prompts = np.concatenate((rng.integers(20, 150, 40), rng.integers(40, 300, 20)))
    paced = np.concatenate((np.ones(40), np.full(20, slower))) * rng.uniform(0.95, 1.05, 60)
    grown = answers(counts, prompts, slower=paced)
    found = noise_of(grown)
    assert found["pace_drift"] == pytest.approx(1 / slower - 1, abs=0.05)
    assert set(doubts(grown)) == (set() if slower == 1 else {"unsteady_pace"})
    if slower == 1:
        assert 0.93 < found["pace_low"] < found["pace_high"] < 1.07


def test_a_pace_that_fell_by_a_third_is_doubted() -> None:
    slowed = table([0.01] * 20 + [0.015] * 10)
    assert noise_of(slowed)["pace_drift"] == pytest.approx(-1 / 3)
    assert set(doubts(slowed)) == {"unsteady_pace"}
    assert doubts(table([0.01] * 20 + [0.012] * 10)) == {}
    assert doubts(table([0.01] * 4 + [0.015] * 4)) == {}, "8 generations have no thirds"


def test_stopped_generations_and_other_arms_do_not_enter_the_pace() -> None:
    mixed = table([0.01] * 6 + [1.2, 0.02], taint=[""] * 6 + ["stopped", ""], arm=["baseline"] * 7 + ["mtp"])
    assert relative_paces(mixed.assign(new_tokens=11, prompt_tokens=0, dataset="d", batch_size=1)) == pytest.approx(1)
    assert noise_of(mixed)["text"].endswith("1 of 8 generations have doubtful times")


def test_a_loaded_machine_is_named_and_an_idle_one_is_not() -> None:
    loaded = table([0.01] * 10, machine=[LOADED] * 10, taint="busy")
    [(code, message)] = doubts(loaded).items()
    assert code == "busy_machine"
    assert "used 1.3 CPUs" in message and "lost 40%" in message and "10 of 10 generations are marked busy" in message
    idle = table([0.01] * 10, machine=[IDLE] * 10)
    assert doubts(idle) == {}
    assert "other processes used 0.0 CPUs, which cost the run 1 % of its own time on them" in noise_of(idle)["text"]


def test_a_busy_part_of_a_run_is_enough_and_one_generation_is_not() -> None:
    part = [LOADED] * 2 + [IDLE] * 18
    assert set(doubts(table([0.01] * 20, machine=part, taint=["busy"] * 2 + [""] * 18))) == {"busy_machine"}
    part = [LOADED] + [IDLE] * 19
    assert doubts(table([0.01] * 20, machine=part, taint=["busy"] + [""] * 19)) == {}


def test_records_of_a_server_and_of_older_versions_prove_nothing() -> None:
    mixed = [None, {"wall_s": 1.0, "threads": 1, "stops": 0}] * 5
    assert doubts(table([0.01] * 10, machine=mixed)) == {}
    # Beside the harness's own records they do not dilute its readings.
    assert set(doubts(table([0.01] * 10, machine=[LOADED, mixed[1]] * 5))) == {"busy_machine"}


def test_throttled_clocks_are_found_in_the_records() -> None:
    seen = [{**IDLE, "clocks": [{"gpu_reasons": 0}, {"gpu_reasons": bits}]} for bits in (0, 0x40)]
    assert set(doubts(table([0.01, 0.01], machine=seen))) == {"throttled_clocks"}

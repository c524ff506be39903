"""A search asks for settings one after the other, drawn from the sweeps of the command, and finds the best."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override

from drafters.errors import InputError
from harness.config import RunConfig, read_config
from harness.launch.objective import check_objective, objective_of
from harness.launch.search import Trial, best, search
from harness.vocabulary import EXIT_MISMATCH, EXIT_OK
from tests.helpers.recorded_run import record


def parsed(*overrides: str) -> list[Override]:
    return OverridesParser.create().parse_overrides(list(overrides))


def config(objective: str | None, **sweep: object) -> RunConfig:
    return read_config(
        {
            "target": {"path": "nowhere"},
            "dataset": {"path": "nowhere.jsonl"},
            "drafter": ["mtp", "dflash"],
            "drafters": {"mtp": {"path": "a"}, "dflash": {"path": "b"}},
            "sweep": {"objective": objective, **sweep},
        }
    )


# -- the objective -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["mtp/speedup_decode", "dflash/acceptance_length", "best/speedup_decode", "dflash_vs_mtp/speedup_decode"]
)
def test_an_objective_names_an_arm_and_a_figure(name: str) -> None:
    check_objective(config(name))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("mpt/speedup_decode", "sweep.objective=mpt/speedup_decode: unknown arm mpt, did you mean mtp?"),
        ("mtp/speedup_decod", "unknown figure speedup_decod, did you mean speedup_decode?"),
        ("best/accuracy", "unknown figure accuracy, expected speedup_decode, k"),
    ],
)
def test_a_typo_in_the_objective_is_named_before_anything_runs(name: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        check_objective(config(name))
    assert message in str(caught.value)


@pytest.mark.parametrize("name", ["speedup_decode", "a/b/c", ""])
def test_an_objective_of_another_form_is_refused(name: str) -> None:
    with pytest.raises(InputError, match=r"sweep.objective=.*expected ARM/FIGURE"):
        config(name)


def test_trials_without_an_objective_are_refused() -> None:
    with pytest.raises(InputError, match=r"sweep.trials=3 without sweep.objective"):
        config(None, trials=3)


def test_the_objective_of_a_run_is_its_figure_under_the_trackers_name(tmp_path: Path) -> None:
    run = record(tmp_path / "run")
    assert objective_of("mtp/speedup_decode", run, EXIT_OK) == pytest.approx(2.5)
    assert objective_of("dflash_vs_mtp/speedup_decode", run, EXIT_OK) == pytest.approx(1.0)
    assert objective_of("best/k", run, EXIT_OK) == 3
    assert math.isnan(objective_of("mtp/speedup_decode", run, EXIT_MISMATCH)), "a wrong answer is not fast"
    assert math.isnan(objective_of("mtp/accuracy", run, EXIT_OK))


# -- the search --------------------------------------------------------------------------------------------------------


def test_without_optuna_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(InputError, match=r"optuna is not installed, expected `pip install 'drafthouse\[search\]'`"):
        search(parsed("num_draft_tokens=1,2"), 2, lambda overrides: 0.0)


def peak_at(k: int) -> Callable[[list[str]], float]:
    return lambda overrides: -abs(int(dict(one.split("=") for one in overrides)["num_draft_tokens"]) - k)


def test_a_search_finds_the_best_k_and_runs_no_settings_twice() -> None:
    pytest.importorskip("optuna")
    ran: list[tuple[str, ...]] = []

    def run(overrides: list[str]) -> float:
        ran.append(tuple(overrides))
        return peak_at(6)(overrides)

    found = search(parsed("dataset.limit=4", "num_draft_tokens=range(1,16)"), 30, run)
    assert len(ran) == len({*ran}) == len(found) <= 15
    assert all(one[0] == "dataset.limit=4" for one in ran)
    top = best(found)
    assert top is not None and top.overrides == ("dataset.limit=4", "num_draft_tokens=6")


def test_the_same_search_asks_for_the_same_settings_so_that_it_can_be_continued() -> None:
    pytest.importorskip("optuna")
    space = parsed("num_draft_tokens=1,2,4,8", "x=interval(0.1,0.9)", "y=tag(log, interval(1,100))")
    first = search(space, 6, peak_at(4))
    assert search(space, 6, peak_at(4)) == first
    x, y = (float(first[0].overrides[index].partition("=")[2]) for index in (1, 2))
    assert 0.1 <= x <= 0.9 and 1 <= y <= 100


def test_a_job_that_fails_is_no_end_and_never_the_best() -> None:
    pytest.importorskip("optuna")
    found = search(parsed("num_draft_tokens=1,2,4"), 6, lambda overrides: math.nan if "=4" in overrides[0] else 1.0)
    top = best(found)
    assert top is not None and top.overrides != ("num_draft_tokens=4",)
    assert best([Trial(("a=1",), math.nan)]) is None


@pytest.mark.parametrize("space", [[], ["num_draft_tokens=4"], ["num_draft_tokens=range(5,5)"]])
def test_a_space_without_anything_to_vary_is_refused(space: list[str]) -> None:
    pytest.importorskip("optuna")
    with pytest.raises(InputError, match=r"expected a list, range\(...\) or interval"):
        search(parsed(*space), 3, lambda overrides: 0.0)

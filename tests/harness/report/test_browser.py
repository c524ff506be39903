"""The prompt browser's data: every token in its round, and a bounded choice of prompts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.report.page import chart_data
from harness.report.page.browser import build_browser, choose
from harness.report.page.data import read_run
from tests.helpers import generated_runs as synthetic


def browse(folder: Path, **options: Any) -> Any:
    run = read_run(folder)
    return build_browser(run, chart_data.prompts(run), **options), run


def test_joined_rounds_are_the_output_and_no_round_has_more_than_one_own_token(tmp_path: Path) -> None:
    browser, run = browse(synthetic.write_run(tmp_path, prompts=6, tokens=40))
    texts = run.generations.set_index(["prompt_id", "arm"])["text"]
    for prompt in browser.data["prompts"]:
        for label, arm in (("MTP", "mtp"), ("DFlash", "dflash"), ("Baseline", "baseline")):
            output = prompt["arms"][label]
            assert output["first"] + "".join(r[0] + r[1] for r in output["rounds"]) == texts[prompt["id"], arm]
            assert all(emitted - accepted <= 1 for _, _, _, accepted, emitted in output["rounds"])


def test_accepted_drafts_and_own_tokens_are_separate(tmp_path: Path) -> None:
    folder = synthetic.write_run(tmp_path, prompts=1, tokens=30)
    browser, run = browse(folder)
    rounds = run.rounds[run.rounds["arm"] == "mtp"]
    shown = browser.data["prompts"][0]["arms"]["MTP"]["rounds"]
    assert [r[2:] for r in shown] == rounds[["drafted", "accepted", "emitted"]].to_numpy().tolist()
    for drafted, own, _, accepted, emitted in shown:
        assert bool(drafted) == (min(accepted, emitted) > 0)
        assert bool(own) == (emitted > accepted)


def test_token_numbers_stand_in_where_a_run_kept_no_texts(tmp_path: Path) -> None:
    browser, run = browse(synthetic.write_run(tmp_path, prompts=2, tokens=10, pieces=False))
    ids = run.generations.iloc[0]["token_ids"]
    assert browser.data["prompts"][0]["arms"]["Baseline"]["first"] == f"{ids[0]} "
    assert not browser.has_pieces


def test_the_first_repeat_is_shown_and_figures_are_the_prompt_s_own(tmp_path: Path) -> None:
    browser, run = browse(synthetic.write_run(tmp_path, prompts=3, tokens=30, repeats=2))
    one = browser.data["prompts"][0]
    ratios = chart_data.prompts(run).set_index(["prompt_id", "arm"])
    assert one["arms"]["MTP"]["speedup"] == pytest.approx(ratios.loc[(one["id"], "mtp"), "speedup_decode"], abs=1e-3)
    first = run.rounds[
        (run.rounds["prompt_id"] == one["id"]) & (run.rounds["arm"] == "mtp") & (run.rounds["repeat"] == 0)
    ]
    assert one["arms"]["MTP"]["tau"] == pytest.approx(first["emitted"].mean(), abs=1e-3)


def test_a_failed_output_shows_its_error(tmp_path: Path) -> None:
    browser, _ = browse(synthetic.write_run(tmp_path, prompts=3, tokens=10, errors=1))
    first = browser.data["prompts"][0]
    assert first["verdict"] == "error"
    assert first["arms"]["DFlash"]["note"].startswith("OutOfMemoryError")


def generations(categories: list[str], wrong: set[int]) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "prompt_id": [f"p{i}" for i in range(len(categories))],
            "turn": 0,
            "category": categories,
            "status": "ok",
            "verdict": ["mismatch" if i in wrong else "exact" for i in range(len(categories))],
        }
    )


def test_too_many_prompts_are_cut_to_those_with_something_wrong_and_some_of_every_category() -> None:
    table = generations(["code"] * 90 + ["prose"] * 9 + ["maths"], wrong={50, 60})
    chosen, total = choose(table, 10)
    assert total == 100
    assert len(chosen) == 10
    assert {("p50", 0), ("p60", 0), ("p99", 0)} <= chosen
    assert sum(int(prompt[1:]) >= 90 for prompt, _ in chosen) >= 4


@given(
    categories=st.lists(st.sampled_from("abc"), min_size=1, max_size=40),
    limit=st.integers(1, 30),
    wrong=st.sets(st.integers(0, 39)),
)
def test_the_choice_is_as_large_as_it_may_be(categories: list[str], limit: int, wrong: set[int]) -> None:
    chosen, total = choose(generations(categories, wrong), limit)
    assert total == len(categories)
    assert len(chosen) == min(limit, total)


def test_the_page_says_when_it_shows_a_part(tmp_path: Path) -> None:
    browser, _ = browse(synthetic.write_run(tmp_path, prompts=12, tokens=8), max_prompts=5)
    assert (browser.shown, browser.total) == (5, 12)
    assert set(browser.links.values()) == {f"#p{i}" for i in range(5)}

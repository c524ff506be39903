"""A run that stops when it is decided, on the tiny pair."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from drafters.errors import InputError
from harness.run import run
from tests.helpers.decoded_runs import Configure, generations


def test_a_run_stops_after_the_block_that_decides_and_a_continued_run_decodes_no_more(
    configure: Configure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The times of so short a run are chance: here every look decides.
    monkeypatch.setattr("harness.metrics.certainty.looks.satisfied", lambda estimates, schedule: bool(estimates))
    config = configure(count=12, until={"half_width": 0.05, "min_prompts": 5}, batch_size=3, max_new_tokens=6)
    outcome = run(config, tmp_path / "run")
    stopped = outcome.summary["stopped"]
    assert stopped == {"reason": "decided", "prompts": 6, "looks": 1}
    assert len({row["prompt_id"] for row in generations(outcome)}) == 6
    assert [look["prompts"] for look in outcome.summary["looks"]] == [6]
    before = (tmp_path / "run" / "generations.jsonl").read_bytes()
    again = run(config, tmp_path / "run")
    assert again.summary["stopped"] == stopped
    assert (tmp_path / "run" / "generations.jsonl").read_bytes() == before
    page = (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    assert "Stopped as decided after 6 of at most 12 prompts and 1 look" in page


@pytest.mark.usefixtures("blank_charts")
def test_a_run_that_never_decides_takes_its_most_prompts(configure: Configure, tmp_path: Path) -> None:
    config = configure(
        count=9, until={"half_width": 1e-9, "min_prompts": 5, "max_prompts": 6}, repeats=2, max_new_tokens=4
    )
    outcome = run(config, tmp_path / "run")
    schedule = json.loads((tmp_path / "run" / "looks.json").read_text(encoding="utf-8"))
    looks = schedule["looks"]
    assert looks[-1] == 6
    assert outcome.summary["stopped"] == {"reason": "max_prompts", "prompts": 6, "looks": len(looks)}


@pytest.mark.parametrize(
    ("until", "message"),
    [
        ({"half_width": 0}, "until.half_width=0: expected more than 0"),
        ({"half_width": -1}, "until.half_width=-1.0: expected 0.0 or more"),
        ({"margin": float("nan")}, "until.margin=nan: expected 0.0 or more"),
        ({"margin": 2}, "until.margin=2.0: expected 1.0 or less"),
        ({"margin": 0.03, "min_prompts": 4}, "until.min_prompts=4: expected 5 or more"),
        ({"margin": 0.03, "max_prompts": 9}, "until.max_prompts=9: expected 10 or more"),
        ({"max_prompts": 20}, "expected until.half_width or until.margin beside it"),
        ({"margin": "soon"}, "until.margin: "),
        ({"sooner": 1}, "until.sooner"),
    ],
)
def test_a_rule_that_cannot_be_kept_is_refused(configure: Configure, until: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        configure(until=until)


def test_fewer_prompts_than_the_first_look_needs_are_refused(configure: Configure, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"until\.min_prompts=10: expected 3 or less, the prompts of this run"):
        run(configure(until={"margin": 0.03}), tmp_path / "run")


def test_several_processes_are_refused(
    configure: Configure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(InputError, match=r"until\.margin=0\.03 with 2 processes: each would look at its own share"):
        run(configure(until={"margin": 0.03}), tmp_path / "run")

"""`drafthouse race`: frames of the terminal's race, its final state in a pipe, and what it refuses."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from drafters.errors import InputError
from harness.launch.race import frame, main, pace, play, written
from harness.report.page.data import read_run
from harness.report.page.runners import Race, find_race
from harness.vocabulary import EXIT_BAD_INPUT
from tests.helpers import generated_runs as synthetic


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return synthetic.write_run(tmp_path_factory.mktemp("run"), prompts=3, tokens=30)


@pytest.fixture(scope="module")
def race(folder: Path) -> Race:
    return find_race(read_run(folder))


def test_tokens_appear_by_round_and_the_whole_output_stands_at_the_end(race: Race) -> None:
    for runner in race.runners:
        assert written(runner, runner.lane.prefill_s / 2)[1] == 0
        assert written(runner, runner.lane.prefill_s)[0].plain == runner.first
        counts = [written(runner, end)[1] for end in runner.lane.ends_s]
        assert counts == sorted(counts)
        text, tokens, _, _ = written(runner, race.end_s)
        assert tokens == runner.tokens
        assert text.plain == runner.first + "".join(one[0] + one[1] for one in runner.rounds)


def test_rejected_drafts_are_struck_out_until_the_next_round(race: Race) -> None:
    runner = next(one for one in race.runners if not one.is_baseline)
    number, one = next((n, r) for n, r in enumerate(runner.rounds[:-1], start=1) if r[2] > r[3])
    assert written(runner, runner.lane.ends_s[number])[0].plain.count("▯") == one[2] - one[3]


@pytest.mark.parametrize("width", [40, 80, 140])
def test_a_pipe_gets_the_final_state_within_its_width(race: Race, width: int) -> None:
    out = io.StringIO()
    play(race, Console(file=out, width=width), speed=1.0)
    lines = out.getvalue().splitlines()
    assert max(map(len, lines)) <= width
    assert all(f"{one.lane.total_s:.2f} s" in out.getvalue() for one in race.runners)
    assert "place 1" in out.getvalue()


def test_a_terminal_sees_the_race_to_its_end(race: Race) -> None:
    out = io.StringIO()
    play(race, Console(file=out, width=120, force_terminal=True, legacy_windows=False), speed=1000.0)
    assert "place 3" in out.getvalue()


def test_frames_of_the_start_have_no_place(race: Race) -> None:
    out = io.StringIO()
    Console(file=out, width=120).print(frame(race, 0.0, 120))
    assert "reading the prompt" in out.getvalue()
    assert "place" not in out.getvalue()


@pytest.mark.parametrize("text", ["0", "-1", "nan", "inf", "fast", ""])
def test_a_speed_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="--speed"):
        pace(text)


def test_an_unknown_prompt_gets_a_suggestion(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(folder), "--prompt", "code-00"]) == EXIT_BAD_INPUT
    assert "did you mean code-000?" in capsys.readouterr().err
    assert find_race(read_run(folder), "maths-001").prompt_id == "maths-001"


def test_one_arm_alone_does_not_race(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nothing to race"):
        find_race(read_run(synthetic.write_run(tmp_path, prompts=2, tokens=10, arms={})))

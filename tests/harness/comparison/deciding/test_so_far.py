"""Speedups while a run decodes: what is shown last before the end is what the table says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.comparison.deciding.so_far import SoFar
from harness.metrics.summary import overall, read_summary
from harness.records.files import GENERATIONS
from harness.records.journal_files import read_lines
from tests.helpers.recorded_run import record

SECONDS = st.floats(1e-3, 1e3)


def row(arm: str, prompt: str = "p", seconds: float = 1.0, **given: Any) -> dict[str, Any]:
    tokens = list(range(11))
    rest = {"turn": 0, "repeat": 0, "status": "ok", "taint": "", "engine": "harness"}
    return {**rest, "prompt_id": prompt, "arm": arm, "decode_s": seconds, "token_ids": tokens, **given}


def test_the_last_words_are_the_tables_speedups(tmp_path: Path) -> None:
    folder = record(tmp_path)
    so_far = SoFar()
    so_far.take(read_lines(folder / GENERATIONS))
    rows = {str(one["arm"]): one for one in overall(read_summary(folder))}
    for arm in ("mtp", "dflash"):
        assert so_far.speedup(arm) == pytest.approx(rows[arm]["speedup_decode"])
        assert f"{arm} {rows[arm]['speedup_decode']:.2f}x" in so_far.words()


@given(times=st.lists(st.tuples(SECONDS, SECONDS), min_size=1, max_size=8), arm_first=st.booleans())
def test_the_order_in_which_arms_finish_does_not_matter(times: list[tuple[float, float]], arm_first: bool) -> None:
    one, other = SoFar(), SoFar()
    for number, (base, own) in enumerate(times):
        pair = [row("baseline", str(number), base), row("mtp", str(number), own)]
        one.take(pair)
        other.take(reversed(pair) if arm_first else pair)
    assert one.speedup("mtp") == pytest.approx(other.speedup("mtp"))


def test_an_arm_alone_a_baseline_alone_and_nothing() -> None:
    so_far = SoFar()
    assert so_far.words() == []
    so_far.take([row("baseline", seconds=2.0)])
    assert so_far.words() == ["baseline 5 tokens/s"]
    so_far.take([row("mtp", seconds=1.0)])
    assert so_far.words() == ["mtp 2.00x"]


def test_failures_are_said_and_a_turn_decoded_again_replaces_itself() -> None:
    so_far = SoFar()
    so_far.take([row("baseline"), row("mtp", status="error", token_ids=[]), row("dflash", seconds=0.5)])
    assert so_far.words() == ["mtp 1 failed", "dflash 2.00x"]
    so_far.take([row("baseline", "q"), row("mtp", "q", seconds=0.5)])
    assert so_far.words() == ["mtp 2.00x (1 failed)", "dflash 2.00x"]
    so_far.take([row("baseline"), row("mtp", seconds=0.5), row("dflash", seconds=0.25)])
    assert so_far.words() == ["mtp 2.00x", "dflash 4.00x"]


@pytest.mark.parametrize("doubtful", [{"taint": "stopped"}, {"decode_s": 0.0}, {"decode_s": None}, {"token_ids": [1]}])
def test_a_turn_without_a_time_of_its_own_is_left_out(doubtful: dict[str, Any]) -> None:
    so_far = SoFar()
    so_far.take([row("baseline"), row("mtp", **doubtful)])
    assert so_far.words() == []


def test_another_engines_arms_are_paired_with_its_own_baseline() -> None:
    so_far = SoFar()
    so_far.take([row("baseline", seconds=9.0), row("vllm_baseline", engine="vllm", seconds=3.0)])
    so_far.take([row("vllm_mtp", engine="vllm", seconds=1.0)])
    assert so_far.words() == ["vllm_mtp 3.00x"]

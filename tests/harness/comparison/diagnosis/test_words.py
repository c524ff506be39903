"""A diagnosis in words: the verdict, what drafting again cost beside decoding, and the JSON line."""

from __future__ import annotations

import numpy as np
import pytest

from drafters.wirings.base import Wiring
from harness.comparison.diagnosis.measure import Clock, Diagnosis, Other, compared
from harness.comparison.diagnosis.recorded import Decoded
from harness.comparison.diagnosis.words import error_ratio, lines, result
from harness.metrics.anchors.outcomes import Anchors, Mean

KEY = "dflash_config.target_layer_ids"


def anchors(prompts: int, standing: int, k: int = 3, places: int = 8) -> Anchors:
    """So many drafts stand from every place, one fewer from every other prompt."""
    number = np.repeat(np.arange(prompts), places)
    place = np.tile(np.arange(places), prompts)
    known = np.minimum(places - place, k)
    stood = np.clip(standing - number % 2, 0, known)
    return Anchors(k, number, number, place, known, stood, np.full((len(number), k), 0.5))


def diagnosis(*others: Other, prompts: int = 8) -> Diagnosis:
    own = anchors(prompts, 1)
    return Diagnosis("dflash", 3, 1, own, own, Clock(1.0, 0.5, 1.0), others, (), prompts, prompts)


def other(name: str, key: str, standing: int, prompts: int = 8) -> Other:
    return compared(Wiring(name, key), [anchors(prompts, standing)], [anchors(prompts, 1)], comparisons=10)


def test_a_better_wiring_is_named_with_the_key_that_decides_it() -> None:
    best, good, bad = other("taps one layer later", KEY, 3), other("window off", "", 2), other("causal", "c", 0)
    found = diagnosis(good, bad, best)
    assert [one.wiring.name for one in found.better] == ["taps one layer later", "window off"]
    text = "\n".join(lines(found))
    assert f"probably read wrongly: {KEY} decides it (taps one layer later)" in text
    assert [one["key"] for one in result(found)["better"]] == [KEY, ""]
    assert result(found)["better"][0]["acceptance"][0] > result(found)["as_read"][0]


def test_without_a_better_wiring_the_one_as_read_stands() -> None:
    text = "\n".join(lines(diagnosis(other("causal", "c", 0), other("soft cap off", "cap", 1))))
    assert "No other wiring is better than the one as read." in text and "the same drafts" in text


def test_few_prompts_have_no_verdict() -> None:
    text = "\n".join(lines(diagnosis(other("taps", KEY, 3, prompts=4), prompts=4)))
    assert "no verdict: 4 prompts have no interval" in text and "wrongly" not in text


def test_the_cost_of_decoding_stands_beside_that_of_drafting_again() -> None:
    text = "\n".join(lines(diagnosis(), Decoded(anchors(8, 1), 6.0)))
    assert "64 of 64 recorded rounds are found again" in text
    assert "2.0 times less error than decoding" in text  # 6 s and 1.5 s
    text = "\n".join(lines(diagnosis(), Decoded(anchors(8, 1), 0.375)))
    assert "2.0 times the error of decoding" in text


@pytest.mark.parametrize(("times", "ratio"), [(1.0, 2.0), (4.0, 4.0)])
def test_errors_fall_with_the_square_root_of_time(times: float, ratio: float) -> None:
    first, second = Mean(1.0, 0.2, None, None, 9), Mean(1.0, 0.1, None, None, 9)
    assert error_ratio(first, times, second, 1.0) == pytest.approx(ratio)

"""Exact, tie or mismatch: the dtype's spacing decides."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from harness.metrics.losslessness import Verdict, first_difference, holds_throughout, ulp, verdict, width_probe
from tests.helpers.lines import whole


def never(prefix: list[int]) -> Any:
    raise AssertionError(f"logits were asked for at {prefix}")


def logits(vocab: int = 16, **tokens: float) -> np.ndarray:
    values = np.full(vocab, -20.0)
    for name, value in tokens.items():
        values[int(name.removeprefix("t"))] = value
    return values


@pytest.mark.parametrize(
    ("value", "dtype", "spacing"),
    [
        (16.0, "bfloat16", 0.125),
        (31.9, "torch.bfloat16", 0.125),
        (32.0, "bfloat16", 0.25),
        (-20.0, "float16", 2.0**-6),
        (20.0, "float32", 2.0**-19),
        (0.001, "bfloat16", 2.0**-7),
    ],
)
def test_spacing_at_a_logit(value: float, dtype: str, spacing: float) -> None:
    assert ulp(value, dtype) == spacing


@given(st.floats(1.0, 1e4), st.sampled_from(["bfloat16", "float16", "float32"]))
def test_spacing_agrees_with_torch(value: float, dtype: str) -> None:
    kind = getattr(torch, dtype)
    stored = torch.tensor(value).to(kind)
    above = torch.nextafter(stored, torch.tensor(float("inf"), dtype=kind))
    assert ulp(float(stored), dtype) == float(above) - float(stored)


def test_equal_outputs_are_exact_and_need_no_logits() -> None:
    found = verdict([1, 2, 3], [1, 2, 3], never, "bfloat16")
    assert (found.kind, found.detail()) == ("exact", None)


def test_two_close_competitors_are_a_tie_with_its_gap_in_spacings() -> None:
    asked: list[list[int]] = []

    def target(prefix: list[int]) -> np.ndarray:
        asked.append(prefix)
        return logits(t3=20.0, t4=19.875)

    found = verdict([1, 2, 3, 9], [1, 2, 4, 9], target, "bfloat16")
    assert asked == [[1, 2]]
    assert (found.kind, found.index, found.tokens) == ("tie", 2, (3, 4))
    assert (found.gap, found.tolerance, found.gap_ulps) == (0.125, 0.5, 1.0)
    assert found.detail() == {
        "index": 2, "gap": 0.125, "tolerance": 0.5, "gap_ulps": 1.0, "tokens": (3, 4), "reason": "",
    }  # fmt: skip


def test_an_output_that_was_not_judged_has_a_detail_only_with_a_reason() -> None:
    assert Verdict("none").detail() is None
    unasked = Verdict("none", reason="the engine gives no logits").detail()
    assert unasked is not None and unasked["reason"] == "the engine gives no logits"


@pytest.mark.parametrize(("gap", "kind"), [(0.5, "tie"), (0.501, "mismatch"), (1.0, "mismatch")])
def test_the_tolerance_lies_at_the_stated_gap(gap: float, kind: str) -> None:
    assert verdict([3], [4], logits(t3=20.0, t4=20.0 - gap), "bfloat16").kind == kind
    assert verdict([4], [3], logits(t3=20.0, t4=20.0 - gap), "bfloat16").kind == kind


def test_the_same_gap_is_a_tie_in_bfloat16_and_a_mismatch_in_float32() -> None:
    there = logits(t3=20.0, t4=19.9)
    assert verdict([3], [4], there, "bfloat16").kind == "tie"
    assert verdict([3], [4], there, "float32").kind == "mismatch"
    assert verdict([3], [4], logits(t3=20.0, t4=20.0 - 1e-4), "float32").kind == "tie"


def test_two_tokens_that_tie_far_below_the_highest_are_a_mismatch() -> None:
    found = verdict([3], [4], logits(t3=10.0, t4=10.0, t5=20.0), "bfloat16")
    reason = "the two tokens are no near-tie of the target"
    assert found == Verdict("mismatch", 0, 10.0, 0.5, 80.0, (3, 4), reason)


def test_a_stricter_reader_draws_the_line_elsewhere() -> None:
    assert verdict([3], [4], logits(t3=20.0, t4=19.75), "bfloat16", tolerance_ulps=1.0).kind == "mismatch"


@pytest.mark.parametrize(
    ("baseline", "arm", "index", "tokens", "reason"),
    [
        ([1, 2, 9], [1, 2], 2, (9, None), "the output ends after 2 tokens, the baseline's goes on to 3"),
        ([1, 9], [1, 9, 5, 6], 2, (None, 5), "the baseline's output ends after 2 tokens, this one goes on to 4"),
        ([1], [], 0, (1, None), "the output ends after 0 tokens, the baseline's goes on to 1"),
    ],
)
def test_an_output_that_only_ends_elsewhere_is_a_mismatch(
    baseline: list[int], arm: list[int], index: int, tokens: tuple[int | None, int | None], reason: str
) -> None:
    found = verdict(baseline, arm, never, "bfloat16")
    assert found == Verdict("mismatch", index, tokens=tokens, reason=reason)


def test_a_near_tie_between_eos_and_another_token_is_a_tie() -> None:
    # Lengths differ as well, but the first difference is a token.
    found = verdict([1, 9], [1, 4, 5, 9], logits(t9=18.0, t4=17.9), "bfloat16")
    assert (found.kind, found.index) == ("tie", 1)


def test_logits_that_are_not_finite_tie_with_nothing() -> None:
    found = verdict([3], [4], logits(t3=float("nan"), t4=1.0), "bfloat16")
    assert found == Verdict("mismatch", 0, tokens=(3, 4), reason="the logits there are not finite")


def test_tensors_are_taken_as_they_are() -> None:
    values = torch.tensor(logits(t3=20.0, t4=19.875)).to(torch.bfloat16)
    assert verdict([3], [4], lambda prefix: values, str(values.dtype)).kind == "tie"


def test_a_gap_is_taken_in_double_precision_whatever_the_logits_came_in() -> None:
    values = np.array([[20.0, 0.0123]], dtype=np.float16)
    assert holds_throughout([1], values, "float16").gap == 20.0 - float(values[0, 1])


def test_an_unknown_dtype_and_a_wrong_shape_are_refused() -> None:
    with pytest.raises(ValueError, match=whole("dtype=int8: expected one of bfloat16, float16, float32, float64")):
        verdict([3], [4], logits(), "int8")
    with pytest.raises(ValueError, match=whole("expected the logits of one position, [V], got shape [2, 16]")):
        verdict([3], [4], np.zeros((2, 16)), "float32")


@given(st.lists(st.integers(0, 3)), st.lists(st.integers(0, 3)))
def test_the_first_difference_splits_a_shared_prefix(one: list[int], two: list[int]) -> None:
    index = first_difference(one, two)
    if index is None:
        assert one == two
    else:
        assert one[:index] == two[:index]
        assert one[index : index + 1] != two[index : index + 1]


OWN_PREFIX = "the token is no near-tie of the target on the output's own prefix"


def test_a_fault_behind_a_tie_is_found_on_the_outputs_own_prefix() -> None:
    rows = np.stack([logits(t1=20.0), logits(t3=20.0, t4=19.875), logits(t7=20.0, t8=12.0)])
    assert holds_throughout([1, 3, 7], rows, "bfloat16") == Verdict("exact")
    assert holds_throughout([1, 4, 7], rows, "bfloat16") == Verdict("tie", 1, 0.125, 0.5, 1.0, (3, 4))
    fault = Verdict("mismatch", 2, 8.0, 0.5, 64.0, (7, 8), OWN_PREFIX)
    assert holds_throughout([1, 4, 8], rows, "bfloat16") == fault


def test_of_several_ties_the_widest_is_shown_and_of_several_faults_the_first() -> None:
    rows = np.stack([logits(t3=20.0, t4=19.875), logits(t3=20.0, t4=19.5), logits(t3=20.0, t4=19.75)])
    assert holds_throughout([4, 4, 4], rows, "bfloat16") == Verdict("tie", 1, 0.5, 0.5, 4.0, (3, 4))
    stricter = holds_throughout([4, 4, 4], rows, "bfloat16", tolerance_ulps=0.5)
    assert stricter == Verdict("mismatch", 0, 0.125, 0.0625, 1.0, (3, 4), OWN_PREFIX)


def test_an_output_of_no_token_holds_throughout() -> None:
    assert holds_throughout([], np.zeros((0, 4)), "bfloat16") == Verdict("exact")


@pytest.mark.filterwarnings("ignore:invalid value encountered")
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_row_that_is_not_finite_holds_nothing(value: float) -> None:
    found = holds_throughout([1, 3], np.stack([logits(t1=20.0), logits(t3=value)]), "bfloat16")
    assert found == Verdict("mismatch", 1, tokens=(3, 3), reason="the logits there are not finite")


@pytest.mark.parametrize("shape", [(3, 4), (2,)])
def test_logits_of_another_shape_than_the_output_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=whole(f"expected logits [2, V], got shape {list(shape)}")):
        holds_throughout([1, 1], np.zeros(shape), "bfloat16")


def test_the_width_probe_measures_in_logits_and_in_spacings() -> None:
    one = np.stack([logits(t1=20.0, t2=3.0), logits(t1=40.0)])
    wide = one.copy()
    wide[0, 2] += 0.25
    wide[1, 1] += 0.375
    probe = width_probe(one, wide, "bfloat16")
    assert (probe.max_abs_difference, probe.max_ulps, probe.argmax_equal, probe.rows) == (0.375, 2.0, True, 2)
    wide[0, 2] = 21.0
    assert not width_probe(one, wide, "bfloat16").argmax_equal
    assert width_probe(torch.tensor(one[0]), torch.tensor(one[0]), "float32").max_ulps == 0.0


def test_the_width_probe_refuses_different_shapes() -> None:
    with pytest.raises(ValueError, match=whole("expected two shapes alike, got [2, 4] and [3, 4]")):
        width_probe(np.zeros((2, 4)), np.zeros((3, 4)), "float32")

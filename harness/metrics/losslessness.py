"""Judges whether an arm's output is the target's own: exact, a tie of the target, or a mismatch.

A verify pass has another shape than a decode pass, so it adds the same terms in another order, and two nearly equal
logits may swap. At the first difference, both tokens are therefore looked up in the target's logits, teacher-forced on
the shared prefix: if both lie within a tolerance of the highest, either could have come out. Anything else is a
mismatch.

The tolerance follows the spacing (ULP) of the dtype at the highest logit there: `TOLERANCE_ULPS` times it.

- bfloat16, float16: 4. Sums are accumulated in float32, so the error comes from the roundings of stored values: the
  logit's own and those of the states behind it move one logit by up to about 2 ULP between two passes, and a swap takes
  two logits. For bfloat16 this is 0.5 in [16, 32), where Gemma 4's soft-cap of 30 keeps the highest logits; a fault
  shows as 1 and more. Practice elsewhere allows 0.2 to 0.3 there.
- float32, float64: 64. Here the order of summation itself is the error; it grows like the square root of the number of
  terms, 2 x sqrt(1024) for two logits at hidden size 1024: 1.2e-4 for float32 in [16, 32).

The gap is recorded in ULP beside the verdict, so that a stricter reader can draw the line elsewhere.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Kind = Literal["exact", "tie", "mismatch", "none"]
Logits = Callable[[list[int]], Any]  # ids before the difference, prompt excluded -> logits [V], tensor or array

SIGNIFICAND_BITS = {"bfloat16": 8, "float16": 11, "float32": 24, "float64": 53}
TOLERANCE_ULPS = {"bfloat16": 4.0, "float16": 4.0, "float32": 64.0, "float64": 64.0}
# The sums behind a logit do not shrink with it: near 0 its error is that of the terms that cancelled.
SMALLEST_SCALE = 1.0


@dataclass(frozen=True, slots=True)
class Verdict:
    """`index` is the first difference, counted in output tokens; `tokens` the baseline's and the arm's token there,
    None where one output had ended. `gap` is how far the lower of the two stands below the highest logit."""

    kind: Kind
    index: int | None = None
    gap: float | None = None
    tolerance: float | None = None
    gap_ulps: float | None = None
    tokens: tuple[int | None, int | None] | None = None
    reason: str = ""

    def detail(self) -> dict[str, Any] | None:
        """The `verdict_detail` of a generation; None for exact, and for not judged without a reason."""
        if self.kind in ("exact", "none") and not self.reason:
            return None
        return {name: value for name, value in asdict(self).items() if name != "kind"}


@dataclass(frozen=True, slots=True)
class WidthProbe:
    """The distance between the logits of a wide pass and those of one-token passes on the same prefixes."""

    max_abs_difference: float
    max_ulps: float  # in the spacing at each row's highest logit, as the tolerance counts
    argmax_equal: bool
    rows: int


def ulp(value: float, dtype: str) -> float:
    """Spacing of `dtype` ("bfloat16", "torch.float32", ...) at `value`, taken at SMALLEST_SCALE when nearer to 0.

    Raises ValueError for a dtype without a tolerance.
    """
    name = _dtype_name(dtype)
    exponent = math.floor(math.log2(max(abs(value), SMALLEST_SCALE)))
    return float(2.0 ** (exponent - SIGNIFICAND_BITS[name] + 1))


def first_difference(baseline_ids: Sequence[int], arm_ids: Sequence[int]) -> int | None:
    """Index of the first output token that differs, or where one of the two has ended; None when they are equal."""
    shorter = min(len(baseline_ids), len(arm_ids))
    for index in range(shorter):
        if baseline_ids[index] != arm_ids[index]:
            return index
    return None if len(baseline_ids) == len(arm_ids) else shorter


def verdict(
    baseline_ids: Sequence[int],
    arm_ids: Sequence[int],
    logits_at: Logits | Any,
    dtype: str,
    tolerance_ulps: float | None = None,
) -> Verdict:
    """Judge one greedy output against the baseline's; both without the prompt, EOS token included.

    `logits_at` gives the target's logits [V] for the token after `baseline_ids[:index]`: a callable that is called at
    most once, and only when a token differs, or the logits themselves. When one output is a prefix of the other there
    is no tie: the target stops at EOS or at the length limit, so an output that ends elsewhere, or goes on
    past its end, is a mismatch.
    """
    allowed_ulps = TOLERANCE_ULPS[_dtype_name(dtype)] if tolerance_ulps is None else tolerance_ulps
    index = first_difference(baseline_ids, arm_ids)
    if index is None:
        return Verdict("exact")
    if index == min(len(baseline_ids), len(arm_ids)):
        return _length_mismatch(baseline_ids, arm_ids, index)
    theirs, ours = int(baseline_ids[index]), int(arm_ids[index])
    given = logits_at(list(baseline_ids[:index])) if callable(logits_at) else logits_at
    logits = _as_array(given)
    if logits.ndim != 1:
        raise ValueError(f"expected the logits of one position, [V], got shape {list(logits.shape)}")
    highest = float(logits.max())
    gap = highest - float(min(logits[theirs], logits[ours]))
    if not math.isfinite(gap):
        return Verdict("mismatch", index, tokens=(theirs, ours), reason="the logits there are not finite")
    spacing = ulp(highest, dtype)
    tolerance = allowed_ulps * spacing
    kind: Kind = "tie" if gap <= tolerance else "mismatch"
    reason = "" if kind == "tie" else "the two tokens are no near-tie of the target"
    return Verdict(kind, index, gap, tolerance, gap / spacing, (theirs, ours), reason)


def holds_throughout(
    arm_ids: Sequence[int], logits: Any, dtype: str, tolerance_ulps: float | None = None
) -> Verdict:  # fmt: skip
    """Judge every token of an output on its own prefix, so that a fault behind a first tie is found as well.

    `logits` [n, V] are the target's, teacher-forced on the output itself: row i stands before token i. Gives exact when
    each token is the highest, tie when each lies within the tolerance (with the widest gap), else the first mismatch.
    """
    rows = _as_array(logits)
    if rows.ndim != 2 or len(rows) != len(arm_ids):
        raise ValueError(f"expected logits [{len(arm_ids)}, V], got shape {list(rows.shape)}")
    allowed_ulps = TOLERANCE_ULPS[_dtype_name(dtype)] if tolerance_ulps is None else tolerance_ulps
    if not len(rows):
        return Verdict("exact")
    highest = rows.max(axis=1)
    gaps = highest - rows[np.arange(len(rows)), np.asarray(arm_ids)]
    spacing = np.array([ulp(float(value), dtype) if math.isfinite(value) else math.nan for value in highest])
    in_ulps = gaps / spacing
    wrong = ~(in_ulps <= allowed_ulps)  # NaN is wrong too
    if not wrong.any() and not gaps.any():
        return Verdict("exact")
    worst = int(np.argmax(wrong)) if wrong.any() else int(np.argmax(in_ulps))
    tokens = (int(rows[worst].argmax()), int(arm_ids[worst]))
    if not math.isfinite(in_ulps[worst]):
        return Verdict("mismatch", worst, tokens=tokens, reason="the logits there are not finite")
    return Verdict(
        "mismatch" if wrong.any() else "tie",
        worst,
        float(gaps[worst]),
        float(allowed_ulps * spacing[worst]),
        float(in_ulps[worst]),
        tokens,
        "the token is no near-tie of the target on the output's own prefix" if wrong.any() else "",
    )


def width_probe(one_token_logits: Any, wide_logits: Any, dtype: str) -> WidthProbe:
    """Compare logits of one-token passes with those of a wide pass on the same prefixes; both [V] or both [W, V]."""
    one, wide = (np.atleast_2d(_as_array(logits)) for logits in (one_token_logits, wide_logits))
    if one.shape != wide.shape:
        raise ValueError(f"expected two shapes alike, got {list(one.shape)} and {list(wide.shape)}")
    difference = np.abs(one - wide).max(axis=1)  # [W]
    spacing = np.array([ulp(float(value), dtype) for value in one.max(axis=1)])
    equal = bool(np.array_equal(one.argmax(axis=1), wide.argmax(axis=1)))
    return WidthProbe(float(difference.max()), float((difference / spacing).max()), equal, len(one))


def _length_mismatch(baseline_ids: Sequence[int], arm_ids: Sequence[int], index: int) -> Verdict:
    if index == len(arm_ids):
        reason = f"the output ends after {len(arm_ids)} tokens, the baseline's goes on to {len(baseline_ids)}"
        return Verdict("mismatch", index, tokens=(int(baseline_ids[index]), None), reason=reason)
    reason = f"the baseline's output ends after {len(baseline_ids)} tokens, this one goes on to {len(arm_ids)}"
    return Verdict("mismatch", index, tokens=(None, int(arm_ids[index])), reason=reason)


def _dtype_name(dtype: str) -> str:
    name = str(dtype).removeprefix("torch.")
    if name not in TOLERANCE_ULPS:
        raise ValueError(f"dtype={dtype}: expected one of {', '.join(TOLERANCE_ULPS)}")
    return name


def _as_array(logits: Any) -> NDArray[np.float64]:
    # numpy has no bfloat16, so a tensor is widened before it is handed over.
    if hasattr(logits, "detach"):
        logits = logits.detach().double().cpu().numpy()
    return np.asarray(logits, dtype=np.float64)

"""A diagnosis in words for a terminal, and as the JSON line that ends it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

from harness.comparison.diagnosis.measure import Diagnosis, Other, accepted
from harness.comparison.diagnosis.recorded import Decoded
from harness.metrics.anchors.outcomes import Anchors, Mean, Share, conditional, unconditional
from harness.metrics.anchors.reliability import by_position
from harness.metrics.statistics import MIN_PROMPTS

SHOWN = 8  # positions of the short tables


def lines(found: Diagnosis, decoded: Decoded | None = None) -> Iterator[str]:
    """Acceptance as read, what it cost, the other wirings, the verdict, and the confidence."""
    yield f"{found.drafter}, k={found.k}: {found.answers} greedy answers to {found.prompts} prompts"
    yield from acceptance_lines(found, decoded)
    yield from cost_lines(found, decoded)
    if found.others:
        yield from wiring_lines(found)
    yield from confidence_lines(found)


def acceptance_lines(found: Diagnosis, decoded: Decoded | None) -> Iterator[str]:
    """Acceptance per position, with intervals over prompts."""
    spread = "every place" if found.stride == 1 else f"one place of {found.stride}"
    yield ""
    yield "  share of drafts that stand, by position in the draft"
    yield from shares("as rounds visit", unconditional(found.walked))
    if decoded is not None:
        yield from shares("as decoded", unconditional(decoded.anchors))
    yield from shares(spread, unconditional(found.sampled))
    yield from shares("  given those before", conditional(found.sampled))
    if decoded is not None:
        same, rounds = agreeing(found.walked, decoded.anchors)
        yield f"  {same} of {rounds} recorded rounds are found again: same anchor, same accepted drafts"


def shares(name: str, of: Sequence[Share]) -> Iterator[str]:
    """`as read  0.85 0.71 ...`, then the widest half-interval."""
    known = [one for one in of if one.value is not None and one.low is not None and one.high is not None]
    text = " ".join("   -" if one.value is None else f"{one.value:.2f}" for one in of[:SHOWN])
    more = " ..." if len(of) > SHOWN else ""
    reach = max(((one.high or 0) - (one.low or 0) for one in known), default=math.nan) / 2
    yield f"  {name:<22} {text}{more}  (+-{reach:.2f} at most, {of[0].count} anchors)"


def agreeing(walked: Anchors, decoded: Anchors) -> tuple[int, int]:
    """Recorded rounds that the walk found again, and all of them."""
    mine = {(a, p): s for a, p, s in zip(walked.answer, walked.place, walked.stood, strict=True)}
    columns = zip(decoded.answer, decoded.place, decoded.stood, strict=True)
    return sum(mine.get((a, p)) == s for a, p, s in columns), len(decoded)


def cost_lines(found: Diagnosis, decoded: Decoded | None) -> Iterator[str]:
    """Seconds and standard errors, and how decoding compares."""
    clock = found.clock
    walk, sample = accepted(found.walked), accepted(found.sampled)
    parts = [("rounds", walk, clock.target_s + clock.walk_s), ("places", sample, clock.target_s + clock.sample_s)]
    yield ""
    for name, one, seconds in parts:
        yield f"  {name:<10} {one.value:.3f} accepted drafts, standard error {_error(one)}, {seconds:.2f} s"
    if decoded is None:
        return
    real = accepted(decoded.anchors)
    yield f"  {'decoding':<10} {real.value:.3f} accepted drafts, standard error {_error(real)}, {decoded.seconds:.2f} s"
    for name, one, seconds in parts:
        if one.error and real.error:
            ratio = error_ratio(real, decoded.seconds, one, seconds)
            compared = f"{1 / ratio:.1f} times the error of" if ratio < 1 else f"{ratio:.1f} times less error than"
            yield f"  in the same time, drafting from {name} has {compared} decoding"


def error_ratio(one: Mean, seconds: float, other: Mean, other_seconds: float) -> float:
    """How many times smaller `other`'s standard error is than that of `one` after the same time: errors fall with its
    square root."""
    assert one.error is not None and other.error is not None
    return one.error / other.error * math.sqrt(seconds / other_seconds)


def _error(one: Mean) -> str:
    return "n.d." if one.error is None else f"{one.error:.3f}"


def wiring_lines(found: Diagnosis) -> Iterator[str]:
    """The table of wirings, and the verdict."""
    yield ""
    yield (
        f"  accepted drafts from {len(found.sampled)} places, and the difference from the wiring as read on the same "
        "places; one that is clearly worse is tried on no further ones"
    )
    width = max(len(one.name) for one in [*(other.wiring for other in found.others), *found.absent])
    yield f"  {'as read':<{width}} {accepted(found.sampled).value:5.2f}"
    for one in sorted(found.others, key=lambda one: -one.gain.value):
        some = f", {len(one.anchors)} places" if len(one.anchors) < len(found.sampled) else ""
        yield f"  {one.wiring.name:<{width}} {accepted(one.anchors).value:5.2f}  {gained(one)}{some}"
    for absent in found.absent:
        yield f"  {absent.name:<{width}} does not apply: {absent.reason}"
    yield ""
    yield from verdict_lines(found)


def gained(one: Other) -> str:
    """`-2.09 (-2.21 to -1.97)`, with the key of a better one."""
    if one.same_drafts:
        return "the same drafts"
    if one.gain.low is None or one.gain.high is None:
        return f"{one.gain.value:+.2f}"
    key = f", decided by {one.wiring.key or 'no entry of its config'}" if one.is_better else ""
    return f"{one.gain.value:+.2f} ({one.gain.low:+.2f} to {one.gain.high:+.2f}){key}"


def verdict_lines(found: Diagnosis) -> Iterator[str]:
    if found.prompts < MIN_PROMPTS:
        yield f"  no verdict: {found.prompts} prompts have no interval, expected {MIN_PROMPTS} or more"
    elif found.better:
        best = found.better[0]
        decides = f"{best.wiring.key} decides it" if best.wiring.key else "no entry of its config decides it"
        yield f"  The checkpoint is probably read wrongly: {decides} ({best.wiring.name})."
    else:
        yield "  No other wiring is better than the one as read."


def confidence_lines(found: Diagnosis) -> Iterator[str]:
    """Calibration per position, conditional on reaching it, over the sampled places."""
    table = by_position(found.sampled)
    if not table[-1].count:
        return
    yield ""
    yield f"  confidence ({found.confidence_of}) of drafts that were reached"
    yield f"  {'position':<10}{'drafts':>8}{'confidence':>12}{'stood':>8}{'ECE':>8}{'Brier':>8}"
    for one in table:
        if one.count and (one.position is None or one.position <= SHOWN):
            name = "all" if one.position is None else str(one.position)
            figures = f"{one.confidence:>12.3f}{one.stood:>8.3f}{one.error:>8.3f}{one.brier:>8.3f}"
            yield f"  {name:<10}{one.count:>8}{figures}"
    curve = ", ".join(f"{one.confidence:.2f}: {one.stood:.2f}" for one in table[-1].bins)
    yield f"  share that stood by confidence: {curve}"


def result(found: Diagnosis) -> dict[str, Any]:
    """The last line: acceptance per position as read, and under every better wiring, the best first."""

    def acceptance(anchors: Anchors) -> list[float | None]:
        return [None if one.value is None else round(one.value, 4) for one in unconditional(anchors)]

    return {
        "drafter": found.drafter,
        "as_read": acceptance(found.sampled),
        "better": [
            {"wiring": one.wiring.name, "key": one.wiring.key, "acceptance": acceptance(one.anchors)}
            for one in found.better
        ],
    }

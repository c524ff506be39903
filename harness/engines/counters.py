"""An engine's speculative counters: read from a /metrics page, and the difference of two readings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.engines.vllm.script import difference
from harness.engines.worker import EngineError

VLLM, LLAMA_CPP = "vllm:", "llamacpp:"
#: The names of both engines, behind their own prefix.
COUNTERS = "spec_decode_"
PER_POSITION = "num_accepted_tokens_per_pos"


def read_counters(page: str, engine: str = VLLM) -> dict[str, Any] | None:
    """The speculative counters of a /metrics page, summed over engines; the per-position ones as a list.

    `engine` is the prefix of its metrics. Empty for a vLLM that does not speculate; None if the page has none of the
    engine's metrics. Raises EngineError for a counter that is no count.
    """
    lines = [line.strip() for line in page.splitlines()]
    if not any(line.startswith(engine) for line in lines):
        return None
    totals: dict[str, Any] = {}
    positions: dict[str, dict[int, int]] = {}
    for line in lines:
        if not line.startswith(engine + COUNTERS):
            continue
        full_name, labels, value = sample(line)
        if not full_name.endswith("_total"):  # gauges, and when a counter was created
            continue
        name, count = full_name.removeprefix(engine + COUNTERS).removesuffix("_total"), whole(value, line)
        if "position" not in labels:
            totals[name] = totals.get(name, 0) + count
        else:
            known, place = positions.setdefault(name, {}), whole(labels["position"], line)
            known[place] = known.get(place, 0) + count
    for name, known in positions.items():
        if sorted(known) != list(range(len(known))):
            raise EngineError(f"the /metrics page has {name} at positions {sorted(known)}, expected 0, 1, 2, ...")
    return totals | {name: [known[place] for place in sorted(known)] for name, known in positions.items()}


def sample(line: str) -> tuple[str, dict[str, str], float]:
    """Name, labels and value of one line of a page. Raises EngineError for a line that holds no sample."""
    from prometheus_client.parser import text_string_to_metric_families  # only runs with a server read a page

    try:
        ((found,),) = (family.samples for family in text_string_to_metric_families(line))
    except ValueError as error:
        raise EngineError(f"the /metrics page has the line {line!r:.200}, expected NAME{{LABELS}} VALUE") from error
    return found.name, found.labels, found.value


def whole(value: float | str, line: str) -> int:
    """`value` as a count. Raises EngineError for anything else, NaN and infinity included."""
    try:
        number = float(value)
    except ValueError:
        number = -1.0
    if not 0 <= number < 2**63 or not number.is_integer():
        raise EngineError(f"the /metrics page has the line {line!r:.200}, expected a count from 0")
    return int(number)


def counted_between(after: Mapping[str, Any] | None, before: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Counts between two readings of a page, None if it has none of the engine's metrics.

    Raises EngineError if the server was restarted or replaced between them.
    """
    if (after is None, not after) != (before is None, not before):
        raise EngineError("counters came or went between two readings: the server was restarted or replaced")
    if after is None or before is None:
        return None
    try:
        return difference(dict(after), dict(before))
    except ValueError as error:
        raise EngineError(f"{error}: the server was restarted or replaced") from error

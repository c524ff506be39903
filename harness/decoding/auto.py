"""Chooses how a run's rounds execute where `execution=auto`, once the target is loaded."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from harness.config import RunConfig
from harness.decoding.compiled import kernels
from harness.metrics.guards import Guard
from harness.target.floor import one_row_floor_s
from harness.target.target import Target

#: A round of the eager loop costs the host about this much per layer, whatever the layer holds (two cores, 2026-11-27).
HOST_MS_PER_LAYER = 0.75
#: Seconds of eager decoding, by the host's share alone, that are worth as much as compiling three arms.
WORTH_COMPILING_S = 60.0


def execution_of(
    config: RunConfig, raw: dict[str, Any], target: Target, generations: int
) -> tuple[str, Guard | None]:
    """The execution of a run of so many `generations`, and a doubt where no compiler is at hand for it.

    `raw` is the target's config.json. On a CPU, auto compiles rounds of a model whose pass takes less time on the
    device, by its floor, than on the host: its eager figures are those of Python. A run of less eager decoding than
    compiling costs stays eager, even where an earlier run left programs of these shapes: jobs of one sweep, and a run
    and its continuation, must execute alike whatever else ran on the machine.
    """
    if config.execution != "auto" or target.device.type != "cpu" or target.placement.is_spread:
        return config.execution, None
    host_s = HOST_MS_PER_LAYER * len(target.layer_types) / 1e3
    eager_s = generations * config.repeats * config.max_new_tokens * host_s
    if eager_s < WORTH_COMPILING_S or one_row_floor_s(raw, target.device, target.dtype) > host_s:
        return "eager", None
    if kernels.compiler() is None:
        message = (
            "no C++ compiler was found, so rounds run eagerly: a pass of this small model is mostly the host's time, "
            "its speedups are those of a slow loop, and wide passes look cheaper than they are; install g++ or set CXX"
        )
        return "eager", Guard("no_compiler", "warning", message)
    return "compile", None


def unlike_passes(failures: dict[str, str], apart: Iterable[str] = ()) -> list[Guard]:
    """Doubts about passes that run otherwise than the compiled ones beside them, at most one of each kind.

    `failures` are the passes that could not be compiled, and why; `apart` those whose steps are not joined.
    """
    found = []
    if failures:
        shown = "; ".join(f"{name} ({reason})" for name, reason in failures.items())
        message = (
            "passes that could not be compiled ran eagerly beside compiled ones, so the speeds of their arms do not "
            f"compare with those of the others: {shown}"
        )
        found.append(Guard("not_compiled", "warning", message))
    if names := ", ".join(dict.fromkeys(apart)):
        message = f"passes ran step by step, with the same tokens, slower than others that are one call: {names}"
        found.append(Guard("not_joined", "info", message))
    return found

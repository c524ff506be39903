"""Bakes small CPU weights into programs of torch.compile, in the layout that each pass width multiplies fastest.

Rounds are no such programs any more (`harness.decoding.compiled`). `benchmarks.peers` keeps it: its floor is the best
that torch's own compiler makes of a bare forward, and without baked weights that floor would lie above the rounds.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from harness.decoding.compiled import inductor_private

log = logging.getLogger(__name__)

FROZEN_UP_TO = 2**28  # bytes of a target's weights; each program holds a copy
WIDE = 8  # rows; below, a call of oneDNN costs more before its first multiplication than it saves


@contextmanager
def frozen_weights(count_bytes: int) -> Iterator[None]:
    """Bake the `count_bytes` of weights that programs read into those that are first called within this context.

    Each program holds a copy, so large weights, and all on CUDA, stay shared. So do all on a machine that does not
    report the size of its caches, which the products are cut to.
    """
    caches: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()  # not in every torch
    caches_known = caches.get("l1d_cache_size", 0) > 0 and caches.get("l2_cache_size", 0) > 0
    if count_bytes > FROZEN_UP_TO or torch.cuda.is_available():
        yield
    elif not caches_known:
        log.info("weights are not baked into compiled rounds: torch does not know this CPU's cache sizes")
        yield
    else:
        with inductor_private.freezing(WIDE):
            yield

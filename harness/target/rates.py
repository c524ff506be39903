"""The rates of a device: how fast it moves bytes and multiplies matrices, measured once a machine and kept.

A bandwidth belongs to a size: small models live in the processor's cache, so it is measured on a working set as large
as the weights that a pass reads. Several ways of reading are tried and the fastest counts, since a floor may be too low
but never too high. A measurement beside other work is kept as such, and later ones improve on it.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch

from drafters.costs.shape import Rates, rates_of
from drafters.errors import InputError
from harness.records import disturbance
from harness.records.cache import cache_dir
from harness.records.files import replace_file
from harness.records.machine import cpu_name
from harness.records.stored import read_object

LEAST_BYTES, MOST_BYTES = 1 << 19, {"cpu": 1 << 28, "cuda": 1 << 30}
#: Seconds for one size's bandwidth, and for the products; about one second for a target with two drafters.
BANDWIDTH_S, PRODUCTS_S = 0.15, 0.3
LARGEST_PRODUCT = {"cpu": 2048, "cuda": 8192}
#: A product that takes so long is large enough to show the rate.
LONG_S = 0.05


def measured_rates(device: torch.device, dtype: torch.dtype, sizes: Sequence[float]) -> Rates:
    """The rates of `device` in `dtype` with this process's threads, for working sets of `sizes` bytes.

    Taken from the cache where they are there. A cache that cannot be used costs the measurement in every run.
    """
    wanted = sorted({rounded(size, device) for size in sizes})
    path = _path(device, dtype)
    kept = _kept(path)
    points = {int(size): float(rate) for size, rate in (kept.get("bandwidths") or [])}
    again = bool(kept.get("busy"))
    if not again and kept.get("operations_per_s") and all(size in points for size in wanted):
        return rates_of(kept)
    before = disturbance.read([os.getpid()])
    for size in wanted:
        if again or size not in points:
            points[size] = max(points.get(size, 0.0), bandwidth(device, size))
    products = float(kept.get("operations_per_s") or 0.0)
    if again or not products:
        products = max(products, product_rate(device, dtype))
    seen = disturbance.between(before, disturbance.read([os.getpid()]), torch.get_num_threads())
    found = {
        **identity(device, dtype),
        "operations_per_s": products,
        "bandwidths": sorted(points.items()),
        "busy": disturbance.lost_share(seen) > disturbance.BUSY_SHARE,
    }
    if path is not None:
        with suppress(OSError, InputError):
            replace_file(path, json.dumps(found, indent=1) + "\n")
    return rates_of(found)


def identity(device: torch.device, dtype: torch.dtype) -> dict[str, Any]:
    """All that rates depend on besides the size."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else cpu_name()
    threads = torch.get_num_threads() if device.type == "cpu" else None
    return {"device": name, "torch": torch.__version__, "dtype": str(dtype).removeprefix("torch."), "threads": threads}


def rounded(size: float, device: torch.device) -> int:
    """`size` bytes to an eighth of its power of two, within what is worth measuring: near sizes share a bandwidth."""
    size = int(min(max(size, LEAST_BYTES), MOST_BYTES.get(device.type, MOST_BYTES["cpu"])))
    step = 1 << max(size.bit_length() - 4, 0)
    return size // step * step


def bandwidth(device: torch.device, size: int) -> float:
    """Bytes per second of `size` bytes that are read again and again, or copied, where both sides count."""
    source = torch.ones(size // 4, device=device)
    rows = torch.ones(size // 4 // 512 * 512, device=device).view(512, -1)
    vector, out = torch.ones(rows.shape[1], device=device), torch.empty(512, device=device)
    aim = torch.empty_like(source)
    nothing = torch.ones(16, device=device)
    ways: list[tuple[Callable[[], Any], int]] = [
        (lambda: torch.mv(rows, vector, out=out), 1),
        (lambda: source.sum(), 1),
        (lambda: aim.copy_(source), 2),
    ]
    call = fastest(lambda: nothing.sum(), device, 1e-3)
    found = [
        times * 4 * source.numel() / max(seconds - call, seconds / 2)
        for way, times in ways
        for seconds in (fastest(way, device, BANDWIDTH_S / len(ways)),)
    ]
    return max(found)


def product_rate(device: torch.device, dtype: torch.dtype) -> float:
    """Operations per second of the fastest square product, sizes doubling until one takes long enough."""
    best, size, until = 0.0, 256, time.perf_counter() + PRODUCTS_S
    while size <= LARGEST_PRODUCT.get(device.type, 1024):
        a = torch.ones(size, size, device=device, dtype=dtype)
        b = torch.ones(size, size, device=device, dtype=dtype)
        seconds = fastest(lambda a=a, b=b: torch.mm(a, b), device, min(LONG_S, PRODUCTS_S / 4))  # type: ignore[misc]
        best = max(best, 2.0 * size**3 / seconds)
        if seconds > LONG_S or time.perf_counter() > until:
            break
        size *= 2
    return best


def fastest(run: Callable[[], Any], device: torch.device, budget_s: float) -> float:
    """The least seconds of a call, over as many as fit in the budget; at least two. The first warms up."""
    best, until = float("inf"), time.perf_counter() + budget_s
    batch = 10 if device.type == "cuda" else 1  # so that starting a kernel hides behind the one before
    run()
    for count in range(1000):
        _wait(device)
        started = time.perf_counter()
        for _ in range(batch):
            run()
        _wait(device)
        best = min(best, (time.perf_counter() - started) / batch)
        if count and time.perf_counter() > until:
            break
    return best


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _path(device: torch.device, dtype: torch.dtype) -> Path | None:
    """The file of these rates; None without a folder for it."""
    about = json.dumps(identity(device, dtype), sort_keys=True)
    try:
        return cache_dir("rates") / f"{hashlib.sha256(about.encode()).hexdigest()[:16]}.json"
    except InputError:
        return None


def _kept(path: Path | None) -> dict[str, Any]:
    """What was kept; {} for nothing, and for a damaged file."""
    found = None if path is None else read_object(path, "the rates are measured again")
    if not found:
        return {}
    try:
        rates_of(found)
    except (KeyError, TypeError, ValueError):
        return {}
    return found

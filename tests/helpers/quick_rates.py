"""Rates of this machine in milliseconds: tests ask what is made of them, and none how exact they are.

A busy machine's rates are measured again by every run, and while the suite runs, the machine is busy.
"""

from __future__ import annotations

from harness.target import rates


def measure_quickly() -> None:
    """Let each measurement of this process be the fastest of a few calls."""
    rates.BANDWIDTH_S = rates.PRODUCTS_S = 0.003

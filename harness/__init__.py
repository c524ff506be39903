"""MTP or DFlash, on your model, on your prompts: one loop, one verifier, one cache, one clock.

The public names are loaded on first use, so that a command that decodes nothing starts without torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__all__ = [
    "Generation",
    "InputError",
    "Round",
    "compare",
    "generate",
    "load_drafter",
    "load_run",
    "load_runs",
    "load_target",
]

if TYPE_CHECKING:
    from drafters.errors import InputError
    from harness.decoding.api import generate
    from harness.launch.python.comparing import compare
    from harness.launch.python.results import load_run, load_runs
    from harness.records.rounds import Generation, Round
    from harness.target.load import load_drafter, load_target
else:
    _HOMES = {
        "Generation": "harness.records.rounds",
        "InputError": "drafters.errors",
        "Round": "harness.records.rounds",
        "generate": "harness.decoding.api",
        "load_drafter": "harness.target.load",
        "load_run": "harness.launch.python.results",
        "load_runs": "harness.launch.python.results",
        "load_target": "harness.target.load",
    }

    def __getattr__(name: str) -> Any:
        if name == "compare":  # the command's module, which can be called: see harness/compare.py
            return import_module("harness.compare")
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module(_HOMES[name]), name)

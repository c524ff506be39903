"""Imported once by the process that tests fork commands from: what a run reads before it decodes."""

from __future__ import annotations

import importlib

import torch

from tests.helpers.quick_rates import measure_quickly

for name in (
    "harness.__main__",
    "harness.launch.job",
    "tests.helpers.parallel_worker",
    "transformers.models.gemma4.modeling_gemma4",
    "transformers.models.gemma4_unified.modeling_gemma4_unified",
):
    importlib.import_module(name)

torch.set_num_threads(1)
measure_quickly()

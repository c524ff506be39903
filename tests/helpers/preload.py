"""Imported once by the process that tests fork commands from: what a run reads before it decodes.

As in the tests of whole runs, measurements are short and no chart is drawn.
"""

from __future__ import annotations

import gc
import importlib

import torch

from harness.report.leaderboard import page as leaderboard
from harness.report.page import build
from tests.helpers.quick_measurements import measure_quickly

for name in (
    "harness.__main__",
    "harness.launch.job",
    "harness.launch.command.help",
    "hydra_plugins.drafthouse_sweeper",
    "matplotlib.backends.backend_agg",
    "pyarrow.dataset",
    "scipy.stats",
    "tests.helpers.parallel_worker",
    "transformers.models.gemma4.modeling_gemma4",
    "transformers.models.gemma4_unified.modeling_gemma4_unified",
):
    importlib.import_module(name)

torch.set_num_threads(1)
measure_quickly()
build.draw = leaderboard.leaderboard_charts = lambda *_: {}
build.draw_card = leaderboard.draw_card = lambda *_: b""
# A collection in a forked process would copy every page that it looks at.
gc.collect()
gc.freeze()

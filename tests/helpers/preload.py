"""Imported once by the process that tests fork commands from: what a run reads before it decodes.

As in the tests of whole runs, measurements are short and no chart is drawn.
"""

from __future__ import annotations

import gc
import importlib

import torch

from harness.report.leaderboard import page as leaderboard
from harness.report.page import build
from tests.helpers.libraries import read_libraries
from tests.helpers.quick_measurements import measure_quickly

read_libraries()
importlib.import_module("tests.helpers.parallel_worker")
torch.set_num_threads(1)
measure_quickly()
build.draw = leaderboard.leaderboard_charts = lambda *_: {}
build.draw_card = leaderboard.draw_card = lambda *_: b""
# A collection in a forked process would copy every page that it looks at.
gc.collect()
gc.freeze()

"""What a run reads before it decodes, and while it writes its summary and its page."""

from __future__ import annotations

import importlib

LIBRARIES = (
    "harness.__main__",
    "harness.launch.job",
    "harness.launch.command.help",
    "hydra_plugins.drafthouse_sweeper",
    "matplotlib.backends.backend_agg",
    "pyarrow.dataset",
    "scipy.stats",
    "transformers.models.gemma4.modeling_gemma4",
    "transformers.models.gemma4_unified.modeling_gemma4_unified",
)


def read_libraries() -> None:
    for name in LIBRARIES:
        importlib.import_module(name)

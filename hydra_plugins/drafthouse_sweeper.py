"""Hydra's grid sweeper with a look at every job before any starts; what it does is in `harness.launch.sweep`.

Hydra takes sweepers from this package alone, and reads it at every start, so nothing heavy is imported here.
"""

from __future__ import annotations

from typing import Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.overrides_parser import OverridesParser


class DrafthouseSweeper(BasicSweeper):
    """Drops what does not fit, skips what is finished, launches the rest, and leaves one table.

    With `sweep.trials` each job is chosen after the results of those before it.
    """

    def sweep(self, arguments: list[str]) -> Any:
        from harness.launch.sweep import launch, launch_search

        assert self.config is not None and self.hydra_context is not None and self.launcher is not None
        loader = self.hydra_context.config_loader
        parsed = OverridesParser.create(config_loader=loader).parse_overrides([*self._parse_config(), *arguments])
        around: dict[str, Any] = {
            "compose": lambda overrides: loader.load_sweep_config(self.config, overrides),
            "start": lambda chosen: self.launcher.launch(chosen, initial_job_idx=0),
        }
        trials = self.config.get("sweep", {}).get("trials")
        if trials is not None:
            return launch_search(self.config, parsed, trials, **around)
        jobs = [list(job) for batch in self.split_arguments(parsed, None) for job in batch]
        return launch(self.config, jobs, **around)

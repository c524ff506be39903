"""A saved view of a W&B project: decode speedup against k by arm, parallel coordinates, bars, prompts, the page.

`wandb-workspaces` builds it (the extra `workspaces`); saving needs a login. Its panels read the keys that all arms
share (harness.report.tracking.described).
"""

from __future__ import annotations

from typing import Any

from drafters.errors import InputError
from harness.config import TrackingConfig
from harness.report.tracking.history import PROMPT, PROMPTS
from harness.report.tracking.tracker import choose_mode

NAME = "drafthouse: speedup against k by arm"
EXTRA = "pip install 'drafthouse[workspaces]'"


def check_workspaces(config: TrackingConfig) -> None:
    """Raise InputError where the view could not be saved: without the extra, and without a login."""
    try:
        import wandb_workspaces  # noqa: F401
    except ImportError as error:
        raise InputError(f"--workspace: wandb-workspaces is not installed, expected `{EXTRA}`") from error
    if choose_mode(config.mode) != "online":
        raise InputError("--workspace: a view lives on W&B's server; expected `wandb login`, and no offline mode")


def save_workspace(config: TrackingConfig) -> str:
    """Save the view and return its link. Raises InputError where it cannot be, and wandb's errors."""
    check_workspaces(config)
    import wandb

    entity = config.entity or str(wandb.Api().default_entity)
    return f"workspace, {build_workspace(entity, config.project).save().url}"


def build_workspace(entity: str, project: str) -> Any:
    """The view, nothing sent."""
    import wandb_workspaces.reports.v2 as panels
    import wandb_workspaces.workspaces as views
    from wandb_workspaces import expr

    k, arm = panels.Config("k"), panels.Config("arm")
    speedup = panels.SummaryMetric("speedup_decode")
    length = panels.SummaryMetric("acceptance_length")
    coordinates = [arm, k, panels.Config("batch_size"), length, panels.SummaryMetric("draft_ms"), speedup]
    return views.Workspace(
        entity=entity,
        project=project,
        name=NAME,
        sections=[
            views.Section(
                name="Arms",
                is_open=True,
                panels=[
                    panels.ScatterPlot(title="Decode speedup against k", x=k, y=speedup),
                    panels.LinePlot(title="Decode speedup against k, by arm", x="k", y=["speedup_decode"]),
                    panels.ScatterPlot(title="Tokens per round against k", x=k, y=length),
                    panels.BarPlot(title="Decode speedup", metrics=["speedup_decode"], groupby=arm),
                    panels.ParallelCoordinatesPlot(
                        columns=[panels.ParallelCoordinatesPlotColumn(metric=one) for one in coordinates]
                    ),
                    panels.RunComparer(diff_only=True),
                ],
            ),
            views.Section(
                name="Prompts",
                panels=[panels.LinePlot(title="Speedup of each prompt", x=PROMPT, y=[f"{PROMPTS}*/speedup_decode"])],
            ),
        ],
        runset_settings=views.RunsetSettings(groupby=[expr.Config("arm")]),
    )

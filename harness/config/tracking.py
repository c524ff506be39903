"""`tracking`: an optional mirror of the run's files."""

from __future__ import annotations

from dataclasses import dataclass, field

from harness.config.checks import one_of

TRACKERS = ("none", "wandb")
TRACKING_MODES = ("auto", "online", "offline")


@dataclass
class TrackingConfig:
    """An optional mirror of the run's files. Tracking never changes or fails a run."""

    name: str = "none"
    project: str = "drafthouse"
    entity: str | None = None
    mode: str = "auto"
    group: str | None = None
    tags: list[str] = field(default_factory=list)
    arm_runs: bool | None = None

    def __post_init__(self) -> None:
        one_of(self.name, TRACKERS, "tracking")
        one_of(self.mode, TRACKING_MODES, "tracking.mode")

"""Exit codes of the jobs and sweeps of this process: Hydra keeps what a job or a sweeper returns to itself."""

from __future__ import annotations

jobs: list[int] = []
sweeps: list[int] = []


def worst(otherwise: int) -> int:
    """The worst code. A sweep's covers its jobs, also those of other processes; `otherwise` is for no job at all."""
    return sweeps[-1] if sweeps else max(jobs, default=otherwise)


def forget() -> None:
    """Start anew, as a new process would."""
    jobs.clear()
    sweeps.clear()

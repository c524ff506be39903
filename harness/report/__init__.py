"""A run directory becomes one page that opens anywhere: `report.html`, and its charts and data beside it.

`python -m harness.report DIR...` writes them anew from the files of a run. Figures come from `summary.json`; nothing is
computed here that is not there, apart from each prompt's own ratio.
"""

from __future__ import annotations

from pathlib import Path

__all__ = ["write_report"]


def write_report(run_dir: str | Path) -> Path:
    """Write `report.html` and the folder `report/` (PNG charts, CSV data) of a run; returns the page's path.

    Raises InputError for damaged records and OSError where nothing can be written.
    """
    # A run must be able to begin, and to end, without a drawing library.
    from harness.report.page.build import build

    return build(run_dir)

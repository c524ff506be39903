"""Everything people see of a run: console, page, charts, leaderboard, published figures and W&B.

`drafthouse report DIR...` writes the page, `report.html`, with charts and data beside it, from the files of a
run. Figures come from `summary.json`; only each prompt's own ratio is computed here.
"""

from __future__ import annotations

from pathlib import Path

__all__ = ["write_report"]


def write_report(run_dir: str | Path, url: str = "") -> Path:
    """Write `report.html` and the folder `report/` (PNG charts, CSV data) of a run; return the page's path.

    `url` is the folder on the web where the page will lie, for the picture beside a link to it.

    Raises InputError for damaged records and OSError if nothing can be written.
    """
    # Imported late: a run must be able to start, and to end, without a drawing library.
    from harness.report.page.build import build

    return build(run_dir, url)

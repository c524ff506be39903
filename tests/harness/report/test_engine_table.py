"""Several engines on the page: each arm's own speedup, acceptance side by side, and what differs besides."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from harness.metrics.engines import engines_of
from harness.report.page.data import RunData
from harness.report.page.engine_table import engine_notes, engine_table
from tests.harness.metrics.test_engines import PAIRS, tables


def run_of(summary: dict[str, Any], manifest: dict[str, Any] | None = None) -> RunData:
    return cast(RunData, SimpleNamespace(summary=summary, manifest=manifest or {}, series=()))


def test_an_arm_stands_beside_its_twin_with_what_is_counting_and_what_is_not() -> None:
    table = engine_table(run_of({"engines": engines_of(*tables(), PAIRS)}))
    assert [line.label for line in table.lines] == ["mtp", "x_mtp"]
    ours, theirs = ([cell.text for cell in line.cells] for line in table.lines)
    assert ours == ["2.00×", "0.50×", *["–"] * 5]
    assert theirs == ["1.25×", "1.25×", "25.0\N{NO-BREAK SPACE}%", "50.0\N{NO-BREAK SPACE}%", "25.0 points",
                      "+0.0 points", "none"]  # fmt: skip
    assert [cell.tone for cell in table.lines[0].cells[:2]] == ["good", "bad"]
    assert table.lines[1].cells[5].small == "+0.0 to +0.0"
    assert len(table.columns) == len(table.lines[0].cells) and all(about for _, about in table.columns)


def test_positions_that_differ_beyond_chance_are_listed() -> None:
    (row,) = [row for row in engines_of(*tables(), PAIRS) if row["acceptance"]]
    place = {"position": 2, "rate": 0.5, "other_rate": 0.25, "difference": -0.25, "difference_low": -0.3}
    row["acceptance"]["positions"] = [place | {"difference_high": -0.1}, place | {"difference_high": 0.1}]
    cell = engine_table(run_of({"engines": [row]})).lines[0].cells[-1]
    assert cell.text == "2" and "25.0" in cell.small and "50.0" in cell.small


@pytest.mark.parametrize("summary", [{}, {"engines": []}])
def test_a_run_with_one_engine_has_no_table(summary: dict[str, Any]) -> None:
    assert engine_table(run_of(summary)).lines == () and engine_notes(run_of(summary)) == []


def test_partings_and_conventions_are_sentences() -> None:
    parting = {"arm": "x_baseline", "answers": 6, "parted": 2, "first": 3.0, "reason": "its weights are Q8_0"}
    conventions = {"differing_conventions": ["drafters.mtp.position is a here"]}
    assert engine_notes(run_of({"partings": [parting]}, conventions)) == [
        "x_baseline and the harness's baseline part in 2 of 6 answers, at token 3 in the middle; its weights are Q8_0.",
        "drafters.mtp.position is a here.",
    ]

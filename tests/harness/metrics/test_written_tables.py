"""Every written table uses the names of the definitions, and has no empty column."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from drafters.registry import KINDS
from harness.launch.gather import finish
from harness.launch.state import Job, Sweep, end_job, start_job
from harness.metrics.curve_file import write_curve
from harness.metrics.definitions import BY_NAME, named
from harness.metrics.summary import read_summary
from harness.records.costs import ArmCosts, CostTable, RoundCost, write_costs
from harness.records.journal import GenerationRow
from harness.report import write_report
from harness.report.console import JSON_FIELDS, arms_table, json_line, notes, published_table
from harness.report.leaderboard import board as boards
from harness.report.leaderboard.page import markdown, write_leaderboard
from harness.report.leaderboard.tables import tables as leaderboard_tables
from harness.report.names import NONE, is_control
from harness.report.page import data, tables
from harness.report.published.catalogue import read_published
from harness.report.published.comparison import METRICS
from harness.report.tracking import mirror
from harness.vocabulary import BASELINE
from tests.helpers import generated_runs as synthetic

REPORT_TABLES = ("speedups", "positions", "round_times", "prompts", "published", "k_curve")
CSV_FILES = ("sweep.csv", "leaderboard.csv", "0/summary.csv", *(f"0/report/{name}.csv" for name in REPORT_TABLES))
#: The fields of a direct comparison besides its figures.
PAIR_NAMES = {"other", "other_num_draft_tokens"}


def write_job(sweep: Sweep, job: int, arms: dict[str, synthetic.ArmShape], overrides: list[str]) -> Path:
    folder = sweep.folder / str(job)
    synthetic.write_run(folder, prompts=6, tokens=60, arms=arms, measured=True, repeats=2)
    costs = {name: ArmCosts(False, (RoundCost(s.k, s.draft_s, s.verify_s, passes=9),)) for name, s in arms.items()}
    write_costs(folder, CostTable(100, 1, "eager", synthetic.STEP_S, 1.0, costs))
    write_curve(folder)
    figure = {"label": "Paper", "arm": "mtp", "metric": "speedup", "value": 2.0, "k": 9, "category": "all"}
    content = {"name": "made up", "metrics": list(METRICS), "figures": [{**figure, "source": "x", "differs": []}]}
    (folder / "published.json").write_text(json.dumps(content))
    start_job(folder, "f")
    end_job(folder, 0, None, 1.0)
    sweep.jobs.append(Job(job, overrides, "done", fingerprint="f"))
    return folder


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two finished jobs in which everything was measured, with every table written from them, and no chart."""
    sweep = Sweep(tmp_path_factory.mktemp("sweep"))
    with pytest.MonkeyPatch.context() as undrawn:
        undrawn.setattr("harness.report.page.build.draw", lambda *_: {})
        undrawn.setattr("harness.report.leaderboard.page.leaderboard_charts", lambda *_: {})
        for job, k in enumerate((2, 4)):
            arms = {name: dataclasses.replace(shape, k=k) for name, shape in synthetic.ARMS.items()}
            write_report(write_job(sweep, job, arms, ["drafter=[mtp,dflash]", f"num_draft_tokens={k}"]))
        sweep.write()
        finish(sweep)
    return sweep.folder


@pytest.mark.parametrize("name", CSV_FILES)
def test_no_column_of_a_written_table_is_empty_for_every_arm_that_drafts(sweep: Path, name: str) -> None:
    table = pd.read_csv(sweep / name, dtype=str, keep_default_na=False)
    drafting = table[table["arm"] != BASELINE]
    assert len(drafting)
    assert [column for column in table if drafting[column].isin(["", "[]"]).all()] == []


def test_a_sweep_s_table_holds_each_job_s_figures(sweep: Path) -> None:
    table = pd.read_csv(sweep / "sweep.csv").set_index(["job", "arm", "category"])
    for job in (0, 1):
        for row in read_summary(sweep / str(job))["rows"]:
            if row["arm"] != BASELINE:
                own = table.loc[(job, row["arm"], row["category"])]
                assert own["speedup_decode"] == pytest.approx(row["speedup_decode"])
                assert own["acceptance_length"] == pytest.approx(row["acceptance_length"])
                assert own["decode_tok_s"] == pytest.approx(row["decode_tok_s"])
    assert table["num_draft_tokens"].dtype.kind == "i"


def test_every_figure_reaches_the_tracker_and_the_json_line(sweep: Path) -> None:
    summary = read_summary(sweep / "0")
    figures = mirror.summary_figures(summary)
    arms = json.loads(json_line(sweep, 0, summary))["arms"]
    for arm in synthetic.ARMS:
        plain = [name for name, definition in BY_NAME.items() if "list" not in definition.unit]
        assert [name for name in plain if f"{arm}/{name}" not in figures] == []
        assert [name for name in JSON_FIELDS if arms[arm][name] in (None, [])] == []
    assert "dflash_vs_mtp/speedup_decode" in figures


def test_no_column_of_a_page_is_empty(sweep: Path) -> None:
    run = data.read_run(sweep / "0")
    made = {
        "arms": tables.arms_table(run),
        "categories": tables.matrix_table(run),
        "others": tables.others_table(run),
        "strength": tables.strength_table(run),
        **{heading: table for heading, table, _ in leaderboard_tables(boards.leaderboard([sweep]))},
    }
    for heading, table in made.items():
        columns = zip(*(line.cells for line in table.lines), strict=True)
        for (title, _), cells in zip(table.columns, columns, strict=True):
            assert title, f"{heading}: a column without a title"
            assert any(cell.text not in ("", NONE) for cell in cells), f"{heading}: {title}"


class Strict(dict[str, Any]):
    """A row of a summary that accepts the names of the definitions and no others."""

    def known(self, name: str) -> str:
        assert name in BY_NAME or name in PAIR_NAMES, f"no definition has the name {name}"
        return name

    def __getitem__(self, name: str) -> Any:
        return super().__getitem__(self.known(name))

    def get(self, name: str, default: Any = None) -> Any:
        return super().get(self.known(name), default)


def strict(folder: Path) -> dict[str, Any]:
    summary = read_summary(folder)
    return {**summary, "rows": [*map(Strict, summary["rows"])], "pairs": [*map(Strict, summary["pairs"])]}


@pytest.fixture
def strict_summaries(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for module in (boards, data):
        monkeypatch.setattr(module, "read_summary", strict)
    with pytest.raises(AssertionError, match="tau"):
        Strict(arm="mtp").get("tau")
    yield


@pytest.mark.usefixtures("strict_summaries")
def test_no_writer_asks_a_summary_for_a_name_without_a_definition(sweep: Path, tmp_path: Path) -> None:
    summary = strict(sweep / "0")
    arms_table(summary)
    notes(summary)
    json_line(sweep, 0, summary)
    mirror.summary_figures(summary)
    mirror.positions(summary)
    published_table(summary, read_published(sweep / "0"), list(METRICS))
    write_report(sweep / "0")
    board = boards.leaderboard([sweep])
    markdown(board)
    write_leaderboard(board, tmp_path)


def test_a_list_of_names_with_an_unknown_one_is_refused() -> None:
    assert named("speedup_decode", "verdict") == ("speedup_decode", "verdict")
    with pytest.raises(ValueError, match="tau, speedup: expected names of"):
        named("tau", "speedup_decode", "speedup")


def test_the_tracker_s_columns_are_those_of_a_generation() -> None:
    fields = {field.name for field in dataclasses.fields(GenerationRow)}
    assert set(mirror.GENERATION_COLUMNS) <= fields | {"new_tokens"}


def test_every_drafter_is_trained_or_a_control() -> None:
    assert {name for name in KINDS if not is_control(name)} == {kind.name for kind in KINDS.values() if kind.trained}


@pytest.mark.usefixtures("blank_charts")
def test_no_cell_of_a_written_table_is_a_formula(tmp_path: Path) -> None:
    sweep = Sweep(tmp_path)
    arms = {'=HYPERLINK("http://elsewhere")': synthetic.ARMS["mtp"], "@SUM(1)": synthetic.ARMS["dflash"], "mtp":
            synthetic.ARMS["mtp"]}  # fmt: skip
    for job in (0, 1):
        folder = write_job(sweep, job, arms, [f"+drafters.own.k={job}"])
    write_report(folder)
    finish(sweep)
    files = sorted(tmp_path.rglob("*.csv"))
    assert {str(path.relative_to(tmp_path)).replace("1/", "0/") for path in files} == set(CSV_FILES)
    for path in files:
        for cell in pd.read_csv(path, dtype=str, keep_default_na=False).to_numpy().ravel():
            assert not cell.startswith(("=", "+", "@", "\t", "\r")), f"{path.name}: {cell}"
            if cell.startswith("-"):
                float(cell)


def test_a_finished_job_with_a_damaged_summary_is_reported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sweep = Sweep(tmp_path)
    for job, content in enumerate(("{", '{"rows": [{"arm": "mtp", "tau": 3.0}]}', "[]", '{"rows": null}')):
        (tmp_path / str(job)).mkdir()
        (tmp_path / str(job) / "summary.json").write_text(content)
        sweep.jobs.append(Job(job, [f"seed={job}"], "done"))
    sweep.jobs.append(Job(4, ["seed=4"], "failed", reason="out of memory"))
    finish(sweep)
    table = pd.read_csv(tmp_path / "sweep.csv", keep_default_na=False)
    damaged = table["reason"].str.contains("summary.json cannot be read")
    assert damaged.tolist() == [True, False, True, True, False]
    assert "tau" not in table and "leaves out tau" in capsys.readouterr().err


def test_a_sweep_without_a_job_is_a_header_alone(tmp_path: Path) -> None:
    finish(Sweep(tmp_path))
    assert (tmp_path / "sweep.csv").read_text() == "job,state\n"

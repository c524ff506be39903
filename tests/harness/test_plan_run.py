"""A run without checkpoint, hub and tokenizer: shapes alone, every file says synthetic, and nothing is claimed."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from rich.console import Console

from drafters.errors import InputError
from harness.comparison import models
from harness.config import RunConfig, read_config
from harness.engines.support import check_engine
from harness.launch.estimate import estimate_job
from harness.report.console import json_line, print_summary, published_table
from harness.report.leaderboard.board import leaderboard
from harness.report.leaderboard.page import markdown, write_leaderboard
from harness.run import Outcome, gather, run
from harness.vocabulary import EXIT_OK
from tests.helpers.checkpoint_folders import write_prompts, write_short_pair
from tests.helpers.composing import composed
from tests.helpers.narrow_model import narrow
from tests.helpers.recorded_run import OF_THE_MACHINE

LABEL = "Random weights (target, mtp, dflash) and assumed acceptance (mtp, dflash): "
RATES = {"mtp": [0.9, 0.6, 0.6], "dflash": [0.5, 0.25, 0.0]}
Configure = Callable[..., RunConfig]


@pytest.fixture(scope="module")
def shapes_only(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Folders that hold a config.json and nothing else."""
    paths, folder = write_short_pair(tmp_path_factory.mktemp("pair")), tmp_path_factory.mktemp("shapes")
    for name, path in paths.items():
        (folder / name).mkdir()
        shutil.copy(Path(path) / "config.json", folder / name)
    return {name: str(folder / name) for name in paths}


@pytest.fixture(scope="module")
def configure(shapes_only: dict[str, str]) -> Configure:
    def make(**options: Any) -> RunConfig:
        drafters: dict[str, Any] = {
            name: {"path": shapes_only[name], "synthetic_acceptance": rates} for name, rates in RATES.items()
        }
        composed = {
            "target": {"path": shapes_only["target"], "weights": "random", "dtype": "float32", "device": "cpu"},
            "dataset": {"name": "random", "random_tokens": True, "limit": 10, "context_tokens": 20},
            "drafters": {**drafters, "random": {}, "oracle": {}},
            "drafter": ["mtp", "dflash"],
            "num_draft_tokens": 3,
            "max_new_tokens": 40,
        }
        return read_config({**composed, **options})

    return make


@pytest.fixture(scope="module")
def planned(configure: Configure, tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    return run(configure(), tmp_path_factory.mktemp("run"))


def generations(outcome: Outcome) -> list[dict[str, Any]]:
    text = (outcome.run_dir / "generations.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def test_it_runs_to_its_end_from_shapes_alone(planned: Outcome) -> None:
    assert (planned.exit_code, planned.error) == (EXIT_OK, None)
    rows = generations(planned)
    assert len(rows) == 10 * 3
    assert {(row["prompt_tokens"], len(row["token_ids"]), row["finish_reason"]) for row in rows} == {(20, 40, "length")}


def test_each_arm_accepts_at_its_own_rates(planned: Outcome) -> None:
    rounds = pd.read_parquet(planned.run_dir / "rounds.parquet")
    for arm, rates in RATES.items():
        # Not the last round of an answer, which the length limit cuts.
        accepted = rounds[(rounds["arm"] == arm) & (rounds["emitted"] == rounds["accepted"] + 1)]["accepted"]
        for position, rate in enumerate(rates):
            assert abs((accepted > position).mean() - rate) < 4 * (0.25 / len(accepted)) ** 0.5


def test_no_verdict_is_claimed_and_no_width_probed(planned: Outcome) -> None:
    assert {row["verdict"] for row in generations(planned) if row["arm"] != "baseline"} == {"none"}
    assert planned.summary["verdicts"] == {"exact": 0, "tie": 0, "mismatch": 0, "none": 20}
    assert not (planned.run_dir / "width_probe.json").exists()


def test_every_file_says_that_it_is_synthetic(planned: Outcome) -> None:
    folder = planned.run_dir
    summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    assert summary["synthetic"].startswith(LABEL)
    assert manifest["synthetic"] == summary["synthetic"]
    assert all(row["synthetic"] and row["guards"][0].startswith("synthetic: ") for row in summary["rows"])
    assert pd.read_csv(folder / "summary.csv")["synthetic"].all()
    codes = [guard["code"] for guard in summary["guards"]]
    assert [code for code in codes if code not in (*OF_THE_MACHINE, "weak_baseline")] == ["synthetic"]
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert "<strong>Synthetic</strong> Random weights" in page
    assert "<h1>Synthetic: " in page
    assert '<span class="pill">not claimed</span>' in page


def test_charts_and_tables_that_leave_the_page_say_so_themselves(planned: Outcome) -> None:
    page = (planned.run_dir / "report.html").read_text(encoding="utf-8")
    assert page.count('aria-label="Synthetic: ') == page.count("<svg class=") > 3
    tables = list((planned.run_dir / "report").glob("*.csv"))
    assert len(tables) == 5 and all(pd.read_csv(table)["synthetic"].all() for table in tables)


def test_the_manifest_says_what_was_built(planned: Outcome) -> None:
    manifest = json.loads((planned.run_dir / "manifest.json").read_text(encoding="utf-8"))
    assert {name: model["weights"] for name, model in manifest["models"].items()} == dict.fromkeys(
        ("target", "mtp", "dflash"), "random"
    )
    assert all(model["parameters"] > 0 for model in manifest["models"].values())
    assert manifest["arms"][1]["synthetic_acceptance"] == RATES["mtp"]
    assert manifest["target"]["eos_token_ids"] == []


def test_the_console_says_it_first(planned: Outcome) -> None:
    console = Console(file=io.StringIO(), width=160)
    print_summary(planned.summary, planned.run_dir, ["baseline", "mtp", "dflash"], console)
    said = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    table = next(index for index, line in enumerate(said) if line.startswith("baseline"))
    assert said[0].startswith(f"SYNTHETIC: {LABEL}")
    assert ["not claimed" in line for line in said[table : table + 3]] == [False, True, True]
    assert json.loads(json_line(planned.run_dir, 0, planned.summary))["synthetic"].startswith(LABEL)


def test_published_figures_beside_it_keep_the_label(planned: Outcome) -> None:
    figure = {"label": "theirs", "arm": "mtp", "metric": "speedup", "category": "all", "value": 3.0, "k": 3}
    table = published_table(planned.summary, [{**figure, "differs": []}], ["speedup"])
    names, speeds = (list(column.cells) for column in table.columns)
    assert str(names[0]) == "baseline (synthetic)"
    assert any("theirs, not synthetic 3x" in str(cell) for cell in speeds)


@pytest.mark.usefixtures("blank_charts")
def test_the_leaderboard_keeps_it_apart_from_what_was_measured(
    configure: Configure, tmp_path: Path
) -> None:
    dataset = {"name": "random", "random_tokens": True, "limit": 1, "context_tokens": 20}
    short: dict[str, Any] = {"dataset": dataset, "max_new_tokens": 4, "drafter": "mtp", "costs": False}
    run(configure(**short), tmp_path / "a")
    other = configure(**short, drafters={"mtp": {"path": configure().arms[0].path}})
    run(other, tmp_path / "b")  # random weights, but no assumption
    board = leaderboard([tmp_path])
    assert board.groups == ["A", "B"] and len(board.synthetic) == 2
    assert "**SYNTHETIC**: 2 of 2 runs" in markdown(board)
    page = next(path for path in write_leaderboard(board, tmp_path) if path.suffix == ".html")
    assert "2 of 2 runs are synthetic" in page.read_text(encoding="utf-8")


def test_other_rates_are_another_run(configure: Configure, planned: Outcome) -> None:
    drafters = {name: {"path": arm.path} for name, arm in zip(RATES, configure().arms, strict=True)}
    changed = configure(drafters=drafters, verification={"synthetic_acceptance": [0.5, 0.5, 0.5]})
    with pytest.raises(InputError, match=r"drafters\.mtp\.synthetic_acceptance: \[0\.9, 0\.6, 0\.6\] -> "):
        run(changed, planned.run_dir)


@pytest.mark.usefixtures("blank_charts")
def test_text_is_read_as_numbers_where_no_tokenizer_is_at_hand(configure: Configure, tmp_path: Path) -> None:
    prompts = write_prompts(tmp_path / "prompts.jsonl", 2, turns=2)
    outcome = run(configure(dataset={"path": prompts}, max_new_tokens=4, costs=False), tmp_path / "run")
    assert outcome.exit_code == EXIT_OK
    first = [row["prompt_tokens"] for row in generations(outcome) if row["turn"] == 0]
    assert set(first) == {5}, "what is 0 + 0? has five words"


@pytest.mark.usefixtures("blank_charts")
def test_rates_alone_need_a_checkpoint_and_are_labelled_as_well(
    configure: Configure, pair: dict[str, str], tmp_path: Path
) -> None:
    config = configure(
        target={"path": pair["target"], "dtype": "float32", "device": "cpu"},
        drafters={"mtp": {"path": pair["mtp"]}, "random": {}},
        dataset={"name": "random", "random_tokens": True, "limit": 3, "context_tokens": 20},
        drafter=["mtp", "random"],
        costs=False,
        verification={"synthetic_acceptance": [1.0, 1.0, 1.0]},
    )
    outcome = run(config, tmp_path / "run")
    assert outcome.exit_code == EXIT_OK, "all drafts of a random drafter stand, because they were set to"
    assert outcome.summary["synthetic"].startswith("Assumed acceptance (mtp, random): ")
    assert {len(row["token_ids"]) for row in generations(outcome)} == {40}, "no end token ends an answer"


def test_it_is_asked_whether_it_fits_before_anything_is_built(
    configure: Configure, monkeypatch: pytest.MonkeyPatch
) -> None:
    models.release()
    monkeypatch.setattr("harness.comparison.models.build_target", lambda *a, **k: pytest.fail("built"))
    monkeypatch.setattr("harness.comparison.memory.available_bytes", lambda device: 1000)
    with pytest.raises(InputError, match="the run needs"):
        gather(configure())


def test_a_plan_of_jobs_counts_the_bytes_of_weights_that_are_nowhere(configure: Configure) -> None:
    found = estimate_job(configure(), pace=1.0)
    assert found.generations == 10 * 3
    assert found.weight_bytes is not None and found.weight_bytes > 10_000


@pytest.mark.usefixtures("blank_charts")
@pytest.mark.parametrize("name", ["31b", "26b_a4b", "12b", "e4b"])
def test_a_published_size_needs_its_name_alone(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    narrow(monkeypatch)
    small = ["target.dtype=float32", "target.device=cpu", "dataset.limit=1", "dataset.context_tokens=9"]
    arms = "drafter=mtp" if name == "e4b" else "drafter=[mtp,dflash]"
    config = composed("experiment=plan_31b", f"target={name}", arms, "max_new_tokens=4", "costs=false", *small)
    outcome = run(config, tmp_path / "run")
    assert (outcome.exit_code, outcome.error) == (EXIT_OK, None)
    k = {row["arm"]: row["num_draft_tokens"] for row in outcome.summary["rows"]}
    assert k == {"baseline": 0, "mtp": 8, **({} if name == "e4b" else {"dflash": 15})}
    assert outcome.summary["synthetic"].startswith("Random weights (target, mtp")


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")
def test_the_same_on_a_gpu(configure: Configure, tmp_path: Path) -> None:
    target = {"path": configure().target.path, "weights": "random", "dtype": "bfloat16", "device": "cuda"}
    outcome = run(configure(target=target), tmp_path / "run")
    assert (outcome.exit_code, outcome.error) == (EXIT_OK, None)
    assert {len(row["token_ids"]) for row in generations(outcome)} == {40}


def test_another_engine_is_refused(configure: Configure) -> None:
    with pytest.raises(InputError, match="engine=vllm: expected engine=harness"):
        check_engine(configure(engine={"name": "vllm"}))

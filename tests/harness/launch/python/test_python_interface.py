"""`from harness import compare, load_run, load_runs`: a comparison and its tables without the command line."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from drafters.errors import InputError
from harness import compare, load_run, load_runs
from harness.launch.python.comparing import compose_config, new_folder
from harness.launch.python.results import Result
from harness.metrics.summary import read_summary
from harness.vocabulary import ALL, EXIT_OK, ROOT
from tests.helpers.recorded_run import record

ORDERS = """
import sys
def function():
    from harness import compare
    assert compare.__call__.__name__ == "compare" and callable(compare), compare
def module():
    import harness.compare
    from harness.compare import main
    assert harness.compare.main is main and callable(harness.compare)
for name in sys.argv[1:]:
    globals()[name]()
import harness
from harness import compare, load_run, load_runs
assert compare is harness.compare is sys.modules["harness.compare"]
assert compare.main(["no such folder"]) == 2
try:
    compare(target="nonsense")
except harness.InputError as error:
    print(error)
print([name for name in ("torch", "transformers") if name in sys.modules])
"""


def settings(**overrides: Any) -> dict[str, Any]:
    return compose_config("embedded", ["mtp"], "embedded", 3, overrides).to_dict()


# -- the name ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", [("function", "module"), ("module", "function")], ids=" then ".join)
def test_function_and_command_share_a_name_in_either_order_and_load_no_torch(order: tuple[str, str]) -> None:
    done = subprocess.run([sys.executable, "-c", ORDERS, *order], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-2:] == [
        "target=nonsense: expected one of 12b, 26b_a4b, 31b, e2b, e4b, embedded, embedded_e2b, path, or a path",
        "[]",
    ]


# -- the configuration -------------------------------------------------------------------------------------------------


def test_arguments_name_what_the_command_line_names() -> None:
    found = settings(max_new_tokens=7, decoding="sampling", **{"target.threads": 1})
    assert (found["target"]["name"], found["dataset"]["limit"], found["drafter"]) == ("embedded", 3, ["mtp"])
    assert (found["max_new_tokens"], found["target"]["threads"]) == (7, 1)
    assert found["decoding"]["temperature"] > 0
    assert settings(decoding={"temperature": 0.5})["decoding"]["temperature"] == 0.5
    assert settings(experiment="quick")["drafter"] == ["mtp"]
    assert compose_config("embedded", ["mtp"], "embedded", None, {}).dataset.limit is None


def test_a_path_is_a_target_and_a_dataset(tmp_path: Path) -> None:
    found = compose_config(tmp_path, "lookup", "rows/mine.jsonl", 2, {})
    assert (found.target.path, found.dataset.path) == (str(tmp_path), "rows/mine.jsonl")
    assert [arm.name for arm in found.arms] == ["lookup"]


def test_drafters_may_come_with_their_options() -> None:
    chosen = {"mtp": {"num_draft_tokens": 2}, "short": {"kind": "lookup", "max_ngram": 1}}
    arms = compose_config("embedded", chosen, "embedded", 2, {}).arms
    assert [(arm.name, arm.kind, arm.num_draft_tokens) for arm in arms] == [
        ("mtp", "mtp", 2),
        ("short", "lookup", None),
    ]
    assert arms[1].options == {"max_ngram": 1}


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"max_new_token": 7}, "max_new_token: unknown key"),
        ({"max_new_tokens": "many"}, "max_new_tokens"),
        ({"decoding": "warm"}, "decoding=warm: expected one of greedy, sampling"),
        ({"decoding.heat": 1}, "decoding.heat: unknown key"),
        ({"seed": object()}, "object"),
    ],
)
def test_a_wrong_key_or_value_is_named(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        settings(**wrong)
    with pytest.raises(InputError, match=r"drafter=nobody: unknown, expected one of dflash, lookup"):
        compose_config("embedded", ["nobody"], "embedded", 1, {})


def test_a_plan_is_no_comparison() -> None:
    with pytest.raises(InputError, match="plan=True"):
        compare(plan=True)


def test_two_runs_of_one_second_have_a_folder_each(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    folders = []
    for _ in range(3):
        folders.append(new_folder())
        folders[-1].mkdir(parents=True)
    assert len(set(folders)) == 3


# -- the run -----------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("blank_charts")
def test_a_comparison_is_tables_and_is_read_back_as_it_was(pair: dict[str, str], tmp_path: Path) -> None:
    prompts = tmp_path / "mine.jsonl"
    prompts.write_text('{"question": "One two three"}\n{"question": "Four five"}\n', encoding="utf-8")
    given = {"target": pair["target"], "drafters": {"mtp": {"path": pair["mtp"], "num_draft_tokens": 2}}}
    rest = {"max_new_tokens": 6, "execution": "eager", "costs": False, "folder": tmp_path / "run"}
    dataset = {"dataset": prompts, "limit": 2, "dataset.chat_template": False}
    result = compare(**given, **dataset, **rest)
    assert (result.exit_code, result.error, result.folder) == (EXIT_OK, None, tmp_path / "run")
    assert set(result.generations["arm"]) == {"baseline", "mtp"}
    assert set(result.rounds.loc[result.rounds["arm"] == "mtp", "drafted"]) <= {0, 1, 2}
    row = result.summary.set_index(["arm", "category"]).loc[("mtp", ALL)]
    assert (row["prompts"], row["verdict"]) == (2, "exact")
    again = load_run(tmp_path / "run")
    assert again.summary.equals(result.summary)
    assert again.generations.equals(result.generations)
    continued = compare(**given, **dataset, **rest)  # finished: nothing is decoded twice
    assert continued.generations.equals(result.generations)
    with pytest.raises(InputError):  # another run's folder
        compare(**given, **{**dataset, "limit": 1}, **rest)


# -- reading -----------------------------------------------------------------------------------------------------------


def test_tables_hold_what_the_records_hold(tmp_path: Path) -> None:
    result = load_run(record(tmp_path))
    summary = read_summary(tmp_path)
    assert result.summary.to_dict("records")[0]["arm"] == summary["rows"][0]["arm"]
    assert (len(result.summary), len(result.pairs)) == (len(summary["rows"]), len(summary["pairs"]))
    assert len(result.generations) == 3 * 6
    assert len(result.rounds) == 6 * (12 + 4 + 4)
    assert result.manifest["arms"][1]["name"] == "mtp"


def test_the_card_has_the_verdict_and_every_arm_and_no_markup_of_a_record(tmp_path: Path) -> None:
    result = load_run(record(tmp_path, arms=("mtp", "<b>")))
    card = result._repr_html_()
    assert "Baseline" in card
    assert "MTP" in card
    assert "&lt;b&gt;" in card
    assert "<b>" not in card
    assert repr(result).splitlines()[0] == result.verdict.title
    failed = Result(result.folder, result.run, 4, "mtp finished no prompt & stopped")
    assert "mtp finished no prompt &amp; stopped" in failed._repr_html_()
    assert "mtp finished no prompt & stopped" in repr(failed)


def test_plots_are_charts_that_a_notebook_shows(tmp_path: Path) -> None:
    result = load_run(record(tmp_path))
    for name, chart in (("speedup", result.plot_speedup()), ("acceptance", result.plot_acceptance())):
        assert name in chart.name
        assert chart._repr_png_().startswith(b"\x89PNG")
        assert chart.figure is not None and chart.figure.axes
    assert result.plot_speedup().save(tmp_path / "speedup.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(InputError, match=r"plot_curve: .* has no such figures"):
        result.plot_curve()
    (tmp_path / "curve.json").write_text(json.dumps({"arms": {"mtp": [point(k) for k in (1, 2, 3)]}}))
    assert result.plot_curve().figure is not None


def point(k: int) -> dict[str, Any]:
    return {
        "category": ALL, "k": k, "tokens_per_round": 1.0 + k, "speedup": 1.0 + k / 2, "low": 1.0, "high": 3.0,
        "measured": k == 3,
    }  # fmt: skip


def test_runs_are_found_by_pattern_or_below_a_folder(tmp_path: Path) -> None:
    runs = [record(tmp_path / "sweep" / name) for name in ("0", "1")]
    (tmp_path / "notes").mkdir()
    assert [run.folder for run in load_runs(tmp_path / "sweep")] == runs
    assert [run.folder for run in load_runs(f"{tmp_path}/*")] == runs
    assert [run.folder for run in load_runs(f"{tmp_path}/sweep/1*")] == runs[1:]
    for nothing in (f"{tmp_path}/none*", tmp_path / "notes", tmp_path / "gone"):
        with pytest.raises(InputError, match="no run in it or below"):
            load_runs(nothing)
    with pytest.raises(InputError, match="holds 2 runs below it"):
        load_run(tmp_path / "sweep")
    with pytest.raises(InputError, match=r"no generations\.jsonl"):
        load_run(tmp_path / "gone")

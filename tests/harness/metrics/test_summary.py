"""summary.json and summary.csv: built from the files alone, every number defined, every speedup beside its doubts."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from harness.metrics.definitions import BY_NAME, DEFINITIONS, OF_ENGINES, as_markdown, fill_in
from harness.metrics.summary import COLUMNS, build_summary, plain, read_summary, summarise, summary_of
from harness.records.files import SUMMARY_CSV, SUMMARY_JSON
from harness.records.journal import GenerationRow, Journal
from harness.records.rounds import Round
from harness.vocabulary import ROOT
from tests.helpers.record_tables import record, steps, tables

DOCUMENT = ROOT / "docs" / "metrics.md"


def a_run(prompts: int = 12) -> list[Any]:
    """MTP twice and DFlash three times as fast as the baseline, prompt for prompt, in two categories."""
    records = []
    for index in range(prompts):
        fields = {"category": "code" if index % 2 else "sums"}
        steady = 1 + 0.01 * (index % 3)
        records += [
            record(f"p{index}", "baseline", steps(12), (0.0, 0.010 * steady, 0.0), **fields),
            record(f"p{index}", "mtp", [(2, 2, 3)] * 3 + [(2, 1, 2), (2, 0, 1)], (0.002, 0.010, 0.0), **fields),
            record(f"p{index}", "dflash", [(7, 5, 6), (7, 5, 6)], (0.005, 0.0151, 0.0), **fields),
        ]
    return records


def find(rows: list[dict[str, Any]], **where: Any) -> dict[str, Any]:
    found = [row for row in rows if all(row[name] == value for name, value in where.items())]
    assert len(found) == 1, f"{len(found)} rows where {where}"
    return found[0]


@pytest.fixture(scope="module")
def summary() -> dict[str, Any]:
    return summary_of(*tables(a_run()), resamples=500)


def test_there_is_a_row_per_arm_and_category_and_one_over_all(summary: dict[str, Any]) -> None:
    cells = [(row["category"], row["arm"]) for row in summary["rows"]]
    assert cells == [(c, a) for c in ("all", "code", "sums") for a in ("baseline", "dflash", "mtp")]


def test_every_number_has_a_definition_and_every_definition_a_number(summary: dict[str, Any]) -> None:
    for row in summary["rows"]:
        assert tuple(row) == COLUMNS
    assert (*COLUMNS, *(one.name for one in OF_ENGINES)) == tuple(summary["definitions"])
    cell = {"dataset", "category", "batch_size", "arm", "num_draft_tokens", "other", "other_num_draft_tokens"}
    assert set(summary["pairs"][0]) - cell <= set(BY_NAME)


def test_speedups_over_the_baseline_and_between_the_drafters(summary: dict[str, Any]) -> None:
    mtp = find(summary["rows"], category="all", arm="mtp")
    dflash = find(summary["rows"], category="all", arm="dflash")
    direct = find(summary["pairs"], category="all")
    assert (direct["arm"], direct["other"]) == ("dflash", "mtp")
    assert direct["speedup_decode"] == pytest.approx(dflash["speedup_decode"] / mtp["speedup_decode"])
    assert mtp["speedup_decode"] == pytest.approx(2.0, rel=0.05)
    assert mtp["speedup_decode_words"] == dflash["speedup_decode_words"] == direct["speedup_decode_words"] == "faster"
    assert mtp["predicted_speedup"] == pytest.approx(mtp["speedup_decode_token_weighted"])
    assert 1 < mtp["speedup_end_to_end"] < mtp["speedup_decode"]
    assert mtp["speedup_decode_low"] < mtp["speedup_decode"] < mtp["speedup_decode_high"]
    assert mtp["paired_prompts"] == 12
    baseline = find(summary["rows"], category="all", arm="baseline")
    assert baseline["speedup_decode"] is None


def test_the_median_over_repeats_comes_first() -> None:
    records = []
    for index in range(6):
        for repeat, slow in enumerate((1.0, 1.0, 50.0)):
            records += [
                record(f"p{index}", "baseline", steps(12), repeat=repeat),
                record(f"p{index}", "mtp", [(2, 2, 3)] * 4, (0.0, 0.015 * slow, 0.0), repeat=repeat),
            ]
    row = find(summary_of(*tables(records), resamples=100)["rows"], category="all", arm="mtp")
    assert row["speedup_decode"] == pytest.approx(2.0)
    assert row["generations"] == 18 and row["prompts"] == row["paired_prompts"] == 6


def test_the_turns_of_a_conversation_are_one_prompt_and_an_unfinished_one_is_not_compared() -> None:
    records = []
    for index in range(6):
        for turn, tokens in enumerate((4, 12)):
            records += [
                record(f"p{index}", "baseline", steps(tokens), turn=turn),
                record(f"p{index}", "mtp", [(1, 1, 2)] * (tokens // 2), turn=turn),
            ]
    lost = records[-1][1]
    lost.update(status="error", error="out of memory", token_ids=[])
    row = find(summary_of(*tables(records), resamples=100)["rows"], category="all", arm="mtp")
    assert (row["prompts"], row["paired_prompts"], row["errors"]) == (6, 5, 1)
    assert row["speedup_decode_token_weighted"] == pytest.approx(2.0)


def test_unequal_counts_are_compared_per_token_and_counted() -> None:
    records = []
    for index in range(12):
        records += [
            record(f"p{index}", "baseline", steps(20)),
            record(f"p{index}", "mtp", [(1, 1, 2)] * 5, verdict="tie"),
        ]
    row = find(summary_of(*tables(records), resamples=100)["rows"], category="all", arm="mtp")
    assert row["speedup_decode"] == pytest.approx(2.0)
    assert row["unequal_token_prompts"] == 12
    assert any(guard.startswith("unequal_tokens: 12 of 12") for guard in row["guards"])


def test_the_count_beside_a_speedup_is_of_the_prompts_it_rests_on() -> None:
    records = []
    for index in range(12):
        # An answer of one token comes from prefill: there is nothing to decode, and no decode time to compare.
        rounds = 0 if index < 9 else 6
        records += [
            record(f"p{index}", "baseline", steps(rounds)),
            record(f"p{index}", "mtp", [(1, 1, 2)] * (rounds // 3), verdict="tie", num_draft_tokens=1),
        ]
    row = find(summary_of(*tables(records), resamples=100)["rows"], category="all", arm="mtp")
    assert (row["prompts"], row["paired_prompts"], row["paired_prompts_end_to_end"]) == (12, 3, 12)
    assert row["speedup_decode_low"] is None and row["speedup_end_to_end_low"] is not None
    assert row["unequal_token_prompts"] == 3
    assert any(guard.startswith("few_prompts: only 3 paired") for guard in row["guards"])
    assert any(guard.startswith("unequal_tokens: 3 of 3") for guard in row["guards"])


def test_an_arm_without_a_finished_baseline_has_no_pair() -> None:
    records = a_run(4)
    for _, generation in records:
        if generation["arm"] == "baseline":
            generation.update(status="error", error="out of memory", token_ids=[])
    records = [([] if generation["arm"] == "baseline" else rounds, generation) for rounds, generation in records]
    summary = summary_of(*tables(records), resamples=100)
    row = find(summary["rows"], category="all", arm="mtp")
    assert row["speedup_decode"] is None
    assert (row["paired_prompts"], row["paired_prompts_end_to_end"], row["unequal_token_prompts"]) == (0, 0, 0)
    assert any(guard.startswith("few_prompts: only 0 paired") for guard in row["guards"])
    assert not any("nan" in guard for guard in row["guards"])
    assert find(summary["pairs"], category="all")["paired_prompts"] == 4


def test_verdicts_are_counted_over_the_drafting_arms() -> None:
    records = a_run(2)
    records[1][1]["verdict"] = "mismatch"
    found = summary_of(*tables(records), resamples=100)
    assert found["verdicts"] == {"exact": 3, "tie": 0, "mismatch": 1, "none": 0}
    assert find(found["rows"], category="all", arm="mtp")["verdict"] == "mismatch"
    assert [guard["severity"] for guard in found["guards"] if guard["code"] == "mismatch"] == ["error"]


def write_run(folder: Path, prompts: int = 3) -> None:
    identity = {"config": {"drafters": {"perfect": {"kind": "oracle"}}}, "checkpoints": {}}
    with Journal(folder, identity) as journal:
        for index in range(prompts):
            base = GenerationRow(f"p{index}", "baseline", "code", token_ids=[1] * 9, prefill_s=0.1, decode_s=0.08)
            base.machine = {"wall_s": 0.2, "clocks": [{"gpu_reasons": 0x4}, {}]}
            drafted = GenerationRow(
                prompt_id=f"p{index}",
                arm="perfect",
                category="code",
                num_draft_tokens=7,
                token_ids=[1] * 9,
                prefill_s=0.1,
                decode_s=0.02,
                verdict="exact",
            )
            journal.append(base, [Round(i, i, 0, 0, 1, 0.0, 0.01, 0.0) for i in range(8)])
            journal.append(drafted, [Round(0, 0, 7, 7, 8, 0.0, 0.02, 0.0)])


def test_the_files_alone_are_enough(tmp_path: Path) -> None:
    write_run(tmp_path)
    returned = summarise(tmp_path, resamples=100)
    stored = read_summary(tmp_path)
    assert stored == json.loads(json.dumps(returned))
    assert stored["guards"][0]["code"] == "throttled_clocks"
    assert stored["run_key"] == json.loads((tmp_path / "run_key.json").read_text())["run_key"]
    again = build_summary(tmp_path, resamples=100)
    assert {**again, **json.loads(json.dumps(again))} == stored
    assert any(guard["code"] == "synthetic_acceptance" for guard in again["guards"]), "the arm's kind is in the files"


def test_the_csv_holds_the_rows(tmp_path: Path) -> None:
    write_run(tmp_path)
    summarise(tmp_path, resamples=100)
    with (tmp_path / SUMMARY_CSV).open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == COLUMNS
    row = next(row for row in rows if row["arm"] == "perfect" and row["category"] == "all")
    assert json.loads(row["position_unconditional"]) == [1.0] * 7
    assert (row["rounds"], row["accuracy"]) == ("3", "")


def test_a_run_without_generations_has_an_empty_summary(tmp_path: Path) -> None:
    with Journal(tmp_path, {"config": {}}):
        pass
    summary = summarise(tmp_path)
    assert summary["rows"] == summary["pairs"] == summary["guards"] == []
    assert (tmp_path / SUMMARY_JSON).exists()


def test_unknown_numbers_are_null_in_json() -> None:
    assert plain({"a": [float("nan"), float("inf"), 1.5], "b": (True, None)}) == {
        "a": [None, None, 1.5],
        "b": [True, None],
    }


def test_the_document_holds_the_current_definitions() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    assert fill_in(text) == text, "run: python -m harness.metrics.definitions docs/metrics.md"
    assert len(BY_NAME) == len(DEFINITIONS)
    for definition in (*DEFINITIONS, *OF_ENGINES):
        assert f"| `{definition.name}` | {definition.unit} |" in as_markdown()
        assert "|" not in definition.text + definition.unit
    with pytest.raises(ValueError, match="markers"):
        fill_in("no markers")


def test_a_stopped_prompt_is_not_paired() -> None:
    records = a_run()
    hit = next(one for _, one in records if one["arm"] == "mtp")
    hit["taint"], hit["decode_s"] = "stopped", hit["decode_s"] + 12
    row = find(summary_of(*tables(records), resamples=100)["rows"], arm="mtp", category="all")
    clean = find(summary_of(*tables(a_run()), resamples=100)["rows"], arm="mtp", category="all")
    assert row["paired_prompts"] == clean["paired_prompts"] - 1
    assert row["speedup_decode_token_weighted"] == pytest.approx(clean["speedup_decode_token_weighted"], rel=0.05)
    assert (row["tainted"], row["untimed"]) == (1, 1)

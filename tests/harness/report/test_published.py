"""Published figures stand beside the runs they apply to, and no others."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from drafters.errors import InputError
from harness.config import RunConfig
from harness.report.console import print_published
from harness.report.published import catalogue as published
from harness.report.published.catalogue import Figure, applicable, read_figures, read_published, write_published
from harness.report.published.comparison import beside
from tests.helpers import composing

K = {"baseline": 0, "mtp": 8, "dflash": 15}


def composed(*overrides: str) -> RunConfig:
    return composing.composed("dataset.path=rows.jsonl", *overrides)


def summary(**rows: dict[str, Any]) -> dict[str, Any]:
    plain = {"category": "all", "batch_size": 1, "num_draft_tokens": 8}
    return {"rows": [{"arm": arm, **plain, **row} for arm, row in rows.items()]}


def values(figures: list[dict[str, Any]]) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {}
    for figure in figures:
        found.setdefault(figure["arm"], []).append(figure["value"])
    return found


def test_the_side_by_side_has_its_figures_for_each_target_and_each_number_of_streams() -> None:
    figures = read_figures("h100_side_by_side")
    one = applicable(figures, composed("experiment=h100_side_by_side"), K)
    assert values(one) == {"baseline": [40.3], "mtp": [125.3, 3.11], "dflash": [122.1, 3.03]}
    many = applicable(figures, composed("experiment=h100_side_by_side", "target=26b_a4b", "batch_size=16"), K)
    assert values(many) == {"baseline": [975], "mtp": [1808], "dflash": [1957]}
    assert applicable(figures, composed("experiment=h100_side_by_side", "batch_size=4"), K) == []


def test_the_first_timings_have_their_figures() -> None:
    found = applicable(read_figures("seed_hospital"), composed("experiment=seed_hospital"), {**K, "mtp": 4})
    assert {(f["arm"], f["metric"]): f["value"] for f in found} == {
        ("baseline", "decode_tok_s"): 8.8,
        ("baseline", "seconds_for_2048"): 232.7,
        ("mtp", "decode_tok_s"): 27.4,
        ("mtp", "speedup"): 3.1,
        ("mtp", "seconds_for_2048"): 74.7,
        ("mtp", "extra_memory_gb"): 1.0,
    }


def test_papers_on_other_models_stand_beside_a_real_target_and_say_so_but_not_beside_the_embedded_one() -> None:
    asked = ["experiment=dflash_paper", "dataset=gsm8k", "decoding.temperature=1.0", "drafter=dflash"]
    found = applicable(read_figures("dflash_paper"), composed(*asked), K)
    assert [(f["label"], f["metric"], f["value"], f["differs"]) for f in found] == [
        ("Qwen3-4B", "speedup", 4.71, ["target Qwen3-4B"]),
        ("Qwen3-4B", "acceptance_length", 6.00, ["target Qwen3-4B"]),
        ("Qwen3-8B", "speedup", 4.67, ["target Qwen3-8B"]),
        ("Qwen3-8B", "acceptance_length", 5.98, ["target Qwen3-8B"]),
        ("DeepSpec block 7", "acceptance_length", 5.45, []),
    ]
    assert applicable(read_figures("dflash_paper"), composed(*asked, "target=embedded"), K) == []


@pytest.mark.parametrize(("k", "found"), [(5, [109, 141]), (15, [82, 172]), (4, [])])
def test_of_a_sweep_over_k_only_the_runs_k_applies(k: int, found: list[float]) -> None:
    config = composed("experiment=draft_length", "target=31b")
    assert values(applicable(read_figures("draft_length"), config, {"dflash": k})) == (
        {"dflash": found} if found else {}
    )


def test_a_prompts_length_counts() -> None:
    figures = read_figures("context_length")
    config = composed("experiment=context_length", "target=31b", "dataset.context_tokens=32768")
    assert values(applicable(figures, config, K)) == {"dflash": [2.09]}


def test_ours_theirs_and_the_difference() -> None:
    figures = [
        {"arm": "mtp", "category": "all", "metric": "decode_tok_s", "value": 100.0, "k": 4, "differs": []},
        {"arm": "mtp", "category": "all", "metric": "total_tok_s", "value": 100.0, "k": 8, "differs": []},
        {"arm": "mtp", "category": "all", "metric": "seconds_for_2048", "value": 10.0, "k": None, "differs": []},
        {"arm": "mtp", "category": "all", "metric": "extra_memory_gb", "value": 1.0, "k": None, "differs": []},
        {"arm": "gone", "category": "all", "metric": "speedup", "value": 2.0, "k": None, "differs": []},
    ]
    row = {"decode_tok_s": 50.0, "ttft_ms": 60.0, "batch_size": 4, "peak_memory_over_baseline_bytes": 2_000_000_000}
    compared = beside(summary(mtp=row), figures)
    assert [figure["ours"] for figure in compared] == [50.0, 200.0, 0.06 + 2047 / 50, 2.0, None]
    assert [figure["ratio"] for figure in compared][:2] == [0.5, 2.0]
    assert [figure["difference"] for figure in compared][:2] == [-50.0, 100.0]
    assert compared[-1]["ratio"] is compared[-1]["difference"] is None
    assert [figure["differs"] for figure in compared][:2] == [["k 4"], []]


def test_published_figures_are_kept_with_the_run_and_printed(tmp_path: Path) -> None:
    config = composed("experiment=h100_side_by_side")
    write_published(tmp_path, config, K)
    kept = json.loads((tmp_path / "published.json").read_text())
    assert kept["name"] == "h100_side_by_side"
    assert kept["figures"] == read_published(tmp_path)
    console = Console(file=io.StringIO(), width=160)
    rows = summary(baseline={"decode_tok_s": 80.6, "num_draft_tokens": 0}, mtp={"decode_tok_s": 125.3})
    print_published(rows, tmp_path, console)
    shown = console.file.getvalue()  # type: ignore[attr-defined]
    assert "80.60 (H100 vLLM 40.3: 2.00x)" in shown
    assert "mtp k=8" in shown and "jarvislabs.ai" in shown


def test_the_first_timings_table_is_shown_for_any_target(tmp_path: Path) -> None:
    write_published(tmp_path, composed("experiment=seed_hospital", "target=embedded"), K)
    assert read_published(tmp_path) == []
    console = Console(file=io.StringIO(), width=160)
    print_published(summary(baseline={"decode_tok_s": 100.0, "ttft_ms": 30.0}), tmp_path, console)
    shown = console.file.getvalue()  # type: ignore[attr-defined]
    assert "time for 2048 tokens" in shown and "memory over baseline" in shown
    assert "20.50 s" in shown


def test_a_run_without_published_figures_writes_and_prints_nothing(tmp_path: Path) -> None:
    assert write_published(tmp_path, composed(), K) == []
    console = Console(file=io.StringIO())
    print_published(summary(), tmp_path, console)
    assert console.file.getvalue() == "" and list(tmp_path.iterdir()) == []  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("figures: [{label: a, arm: mtp, metric: fame, value: 1, source: s}]", "metric=fame, expected one of"),
        ("figures: [{label: a, arm: mtp, metric: speedup, value: 0, source: s}]", "value=0, expected more than 0"),
        ("figures: [{label: a, colour: red}]", "holds no list of figures"),
        ("nothing: 1", "holds no list of figures"),
        ("figures: [", "holds no list of figures"),
    ],
)
def test_a_file_without_figures_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, message: str
) -> None:
    monkeypatch.setattr(published, "FIGURES", tmp_path)
    (tmp_path / "bad.yaml").write_text(text)
    with pytest.raises(InputError, match=message):
        read_figures("bad")
    with pytest.raises(InputError, match="published=worse: expected one of bad, or null"):
        read_figures("worse")


def test_a_figure_covers_all_categories_by_default() -> None:
    assert Figure("a", "mtp", "speedup", 2.0, "s").category == "all"

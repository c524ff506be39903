"""The headline claims no more than the intervals allow."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from harness.report.page.data import RunData, series_of
from harness.report.page.headline import headline, pair_ratio


def row(arm: str, value: float | None, words: str = "faster", category: str = "all", **fields: Any) -> dict[str, Any]:
    """A summary row; its interval is 5 % to either side, or spans 1 for `not distinguishable`, or is missing."""
    low, high = (None, None) if words == "none" else (value * 0.95, value * 1.05) if value else (None, None)
    return {
        "dataset": "d",
        "category": category,
        "arm": arm,
        "batch_size": 1,
        "num_draft_tokens": 0 if arm == "baseline" else 4,
        "generations": 20,
        "errors": 0,
        "verdict_mismatch": 0,
        "speedup_decode": value,
        "speedup_decode_low": low,
        "speedup_decode_high": high,
        "paired_prompts": 20,
        "speedup_decode_words": "not distinguishable" if words == "none" else words,
        **fields,
    }


def pair(value: float, words: str, category: str = "all", arm: str = "dflash", other: str = "mtp") -> dict[str, Any]:
    return {**row(arm, value, words, category), "other": other, "other_num_draft_tokens": 4}


def run(
    rows: list[dict[str, Any]],
    pairs: list[dict[str, Any]],
    kinds: dict[str, str] | None = None,
    engines: dict[str, str] | None = None,
) -> RunData:
    summary = {"rows": [row("baseline", None), *rows], "pairs": pairs, "confidence": 0.95}
    names = kinds or {r["arm"]: r["arm"] for r in rows}
    arms = [{"name": n, "kind": kind, "engine": (engines or {}).get(n, "harness")} for n, kind in names.items()]
    manifest = {"arms": arms}
    by_key = {((r["dataset"], 1, r["arm"], r["num_draft_tokens"]), r["category"]): r for r in summary["rows"]}
    empty = pd.DataFrame()
    return RunData(Path(), summary, manifest, empty, empty, {}, series_of(summary, manifest), by_key)


def test_the_faster_drafter_wins_by_the_direct_ratio() -> None:
    said = headline(run([row("mtp", 1.8), row("dflash", 2.4)], [pair(1.33, "faster")]))
    assert (said.tone, said.title) == ("clear", "DFlash is 1.33× as fast as MTP")
    assert "95\N{NO-BREAK SPACE}% interval 1.26 to 1.40" in said.sentences[0]
    assert "faster than plain decoding" in said.sentences[1]


def test_a_baseline_far_from_its_floor_is_named_in_title_and_text() -> None:
    weak = row("baseline", None, strength=0.125)
    found = run([row("mtp", 1.8, speedup_at_floor=2.5)], [])
    key = next(key for key in found.rows if key[0][2] == "baseline")
    found.rows[key] = weak
    said = headline(found)
    assert said.title == "MTP is 1.80× as fast as plain decoding, over a baseline at 0.12 of its floor"
    assert said.sentences[-1] == (
        "Plain decoding takes 8.0 times its floor on this machine (strength 0.12), so these speedups are those of a "
        "slow loop; at the floor: MTP 2.50×."
    )
    found.rows[key] = {**weak, "strength": 0.5}
    assert headline(found).title == "MTP is 1.80× as fast as plain decoding"


@pytest.mark.parametrize("code", ["no_compiler", "not_compiled", "not_joined"])
def test_passes_that_ran_unlike_others_stand_in_the_verdict_once(code: str) -> None:
    made = run([row("mtp", 1.8), row("dflash", 2.4)], [pair(1.33, "faster")])
    made.summary["guards"] = [{"code": code, "severity": "warning", "message": "passes ran eagerly: mtp verify"}]
    assert headline(made).sentences.count("Passes ran eagerly: mtp verify.") == 1


def test_a_disturbed_machine_gives_no_clear_result() -> None:
    made = run([row("mtp", 1.8), row("dflash", 2.4)], [pair(1.33, "faster")])
    made.summary["guards"] = [{"code": "busy_machine", "severity": "warning", "message": "m"}]
    said = headline(made)
    assert (said.tone, said.title) == ("even", "DFlash is 1.33× as fast as MTP")
    assert "do not quote" in said.sentences[-1]
    made.summary["guards"] = [{"code": "few_prompts", "severity": "warning", "message": "m"}]
    assert headline(made).tone == "clear"


def test_the_pair_is_turned_round_when_the_other_one_wins() -> None:
    data = run([row("mtp", 2.4), row("dflash", 1.8)], [pair(0.8, "slower")])
    assert headline(data).title == "MTP is 1.25× as fast as DFlash"
    mtp, dflash = data.drafting
    turned = pair_ratio(data, mtp, dflash)
    assert turned is not None
    assert turned.low is not None
    assert turned.low < turned.value < (turned.high or 0)


def test_an_interval_that_holds_1_is_no_win() -> None:
    said = headline(run([row("mtp", 2.0), row("dflash", 2.1)], [pair(1.03, "not distinguishable")]))
    assert (said.tone, said.title) == ("even", "DFlash and MTP are not distinguishable")
    assert "may be chance" in said.sentences[0]


def test_without_an_interval_there_are_too_few_prompts() -> None:
    said = headline(run([row("mtp", 2.0, "none"), row("dflash", 3.0, "none")], [pair(1.5, "none")]))
    assert (said.tone, said.title) == ("even", "Too few prompts to tell DFlash and MTP apart")


def test_when_both_are_slower_plain_decoding_is_the_fastest() -> None:
    said = headline(run([row("mtp", 0.9, "slower"), row("dflash", 0.8, "slower")], [pair(0.88, "slower")]))
    assert said.title == "Plain decoding is the fastest"


def test_a_mismatch_voids_the_speed_of_its_arm() -> None:
    said = headline(run([row("mtp", 1.8), row("dflash", 9.0, verdict_mismatch=3)], [pair(5.0, "faster")]))
    assert (said.tone, said.title) == ("void", "DFlash does not reproduce the target’s output")
    assert "3 of 20 outputs" in said.sentences[0]
    assert not any("9.00" in sentence for sentence in said.sentences)


@pytest.mark.parametrize(
    ("value", "words", "title"),
    [
        (2.0, "faster", "DFlash is 2.00× as fast as plain decoding"),
        (1.01, "not distinguishable", "DFlash is not distinguishable from plain decoding"),
        (0.7, "slower", "DFlash is slower than plain decoding"),
        (2.0, "none", "Too few prompts to judge DFlash"),
    ],
)
def test_a_single_drafter_is_compared_with_the_baseline(value: float, words: str, title: str) -> None:
    assert headline(run([row("dflash", value, words)], [])).title == title


def test_controls_stay_out_of_the_headline() -> None:
    rows = [row("mtp", 1.8), row("dflash", 2.4), row("oracle", 7.0), row("lookup", 5.0)]
    pairs = [pair(1.33, "faster"), pair(3.0, "faster", arm="oracle", other="dflash")]
    assert headline(run(rows, pairs)).title == "DFlash is 1.33× as fast as MTP"


def test_the_kind_of_an_arm_decides_not_its_name() -> None:
    rows = [row("mine", 1.8), row("replay", 7.0)]
    assert (
        headline(run(rows, [], {"mine": "mtp", "replay": "oracle"})).title == "mine is 1.80× as fast as plain decoding"
    )


def test_categories_that_go_the_other_way_are_named() -> None:
    rows = [row(arm, 2.0, category=c) for arm in ("mtp", "dflash") for c in ("all", "code", "prose", "maths")]
    pairs = [pair(1.2, "faster"), pair(1.5, "faster", "code"), pair(0.8, "slower", "prose")]
    pairs.append(pair(1.0, "not distinguishable", "maths"))
    said = headline(run(rows, pairs)).sentences[-1]
    assert "DFlash is faster in code" in said
    assert "MTP is faster in prose" in said
    assert "the two are not distinguishable in 1 of 3 categories" in said


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("none", "Each of the 2 categories has too few prompts to tell the two apart."),
        ("not distinguishable", "The two are not distinguishable in any of the 2 categories."),
    ],
)
def test_categories_of_few_prompts_are_no_finding(words: str, sentence: str) -> None:
    rows = [row(arm, 2.0, category=c) for arm in ("mtp", "dflash") for c in ("all", "code", "prose")]
    pairs = [pair(1.2, "faster"), pair(1.1, words, "code"), pair(1.3, words, "prose")]
    assert sentence in headline(run(rows, pairs)).sentences


def test_a_run_of_the_baseline_alone_says_so() -> None:
    assert headline(run([], [])).title == "Only the baseline ran"


def test_arms_that_finished_nothing_are_not_compared() -> None:
    said = headline(run([row("mtp", None, generations=0, errors=20)], []))
    assert (said.tone, said.title) == ("void", "Nothing could be compared")
    assert "20 failed" in said.sentences[0]


def test_drafters_of_two_engines_are_not_compared() -> None:
    rows = [row("mtp", 1.8), row("dflash", 2.0), row("vllm_mtp", 4.0)]
    kinds = {"mtp": "mtp", "dflash": "dflash", "vllm_mtp": "mtp"}
    data = run(rows, [pair(1.1, "faster")], kinds, {"vllm_mtp": "vllm"})
    assert headline(data).title == "DFlash is 1.10× as fast as MTP"
    assert [one.label for one in data.series] == ["Baseline", "MTP", "DFlash", "MTP in vLLM"]


def test_an_end_to_end_ratio_over_other_prompts_says_over_how_many() -> None:
    direct = {**pair(1.33, "faster"), "speedup_end_to_end": 1.2, "paired_prompts_end_to_end": 25}
    said = headline(run([row("mtp", 1.8), row("dflash", 2.4)], [direct]))
    assert "on the same 20 prompts" in said.sentences[0]
    assert "1.20× end to end, prefill included, on 25 prompts" in said.sentences[0]
    alike = headline(run([row("mtp", 1.8), row("dflash", 2.4)], [{**direct, "paired_prompts_end_to_end": 20}]))
    assert "prefill included." in alike.sentences[0]

"""Holds `harness.advise` against a full sweep, and its pasted settings against the acceptance that it predicts.

    python -m benchmarks.advise [--family dense|e2b] [--parts sweep,settings] [--ks 1,2,3,4,6,8,11,15] [--limit 42]

Of each family, one run of both arms at their largest k is decoded and advised on. *sweep*: a run at every other k gives
the fastest arm and k; the advice agrees if it names them, or others that the paired prompts do not tell from them.
"either" and no advice are counted apart. Runs are those of `benchmarks.k_curve`, and its folder's are taken where they
are there. *settings*: the texts for both arms are executed as they are printed (`benchmarks.conformance.pasted`) on
the run's prompts. Each must start, and its rounds must be those predicted for the same prompts: the interval of their
ratio holds 1, or the ratio lies within 2 %. Engines that are not installed are named. Exit code 1 otherwise.

Acceptance does not depend on times: on a busy machine, where advice abstains, the settings are checked all the same.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.common import hardware, keep, warn_if_busy
from benchmarks.conformance.pasted import Counted, run, sections
from benchmarks.k_curve import LARGEST, PREDICT, TARGETS, decode
from harness.advise import main as advise_command
from harness.comparison.diagnosis.recorded import answers_of, read_recording
from harness.engines.session import Request
from harness.metrics.cells import generation_index
from harness.metrics.curve import arm_times, rounds_needed
from harness.metrics.curve_file import drafted_again
from harness.metrics.statistics import CONFIDENCE, RESAMPLES, SEED, Estimate, ratio_intervals
from harness.records.files import SUMMARY_JSON
from harness.records.frames import read_generations, read_rounds
from harness.report.advice.advice import EITHER, NONE, advise
from harness.report.names import arm_name
from harness.report.page.headline import DISTURBED
from harness.vocabulary import BASELINE

WITHIN = 0.02
ARMS = ("mtp", "dflash")
TITLES = ("transformers", "vLLM", "llama.cpp")  # those of which a build runs here
Row = dict[str, Any]


def printed(folder: Path, arm: str | None = None) -> tuple[str, Row]:
    """The output of `harness.advise` as it stands, and its last line."""
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        advise_command([str(folder), *([] if arm is None else ["--arm", arm])])
    return said.getvalue(), json.loads(said.getvalue().splitlines()[-1])


# -- the sweep -------------------------------------------------------------------------------------------------------


def speedups(folder: Path) -> dict[tuple[str, int], pd.Series]:
    """Per drafting arm and its k: each prompt's decode speedup over the run's baseline."""
    table = read_generations(folder)
    prompts = ["prompt_id", "turn"]
    base = table[table["arm"] == BASELINE].groupby(prompts)["decode_s"].mean()
    found = {}
    for (arm, k), rows in table[table["arm"] != BASELINE].groupby(["arm", "num_draft_tokens"]):
        found[str(arm), int(k)] = (base / rows.groupby(prompts)["decode_s"].mean()).dropna().sort_index()
    return found


def apart(best: pd.Series, other: pd.Series) -> Estimate:
    """How many times faster `best` is on the prompts of both, with its interval."""
    both = best.index.intersection(other.index)
    return intervals(best[both].to_numpy(), other[both].to_numpy())[0]


def intervals(one: Any, other: Any) -> tuple[Estimate, Estimate]:
    return ratio_intervals(
        np.asarray(one, float), np.asarray(other, float), confidence=CONFIDENCE, resamples=RESAMPLES, seed=SEED
    )


def judged(advice: Row, measured: dict[tuple[str, int], pd.Series], named: list[tuple[str, int]]) -> Row:
    """The advice beside the sweep's fastest; `named` are the settings that it offers."""
    best = max(measured, key=lambda one: float(np.exp(np.log(measured[one]).mean())))
    row = {"advice": advice, "best": list(best), "best_speedup": float(np.exp(np.log(measured[best]).mean()))}
    if advice["arm"] in (None, EITHER):
        return {**row, "outcome": "cannot tell", "best_is_named": best in named}
    if advice["arm"] == NONE:
        return {**row, "outcome": "agrees" if row["best_speedup"] <= 1 else "differs"}
    chosen = (advice["arm"], advice["k"])
    if chosen == best:
        return {**row, "outcome": "agrees", "same": True}
    gap = apart(measured[best], measured[chosen])
    outcome = "agrees" if gap.low <= 1 else "differs"
    return {**row, "outcome": outcome, "same": False, "best_over_advice": [gap.value, gap.low, gap.high]}


def sweep(family: str, folder: Path, options: argparse.Namespace) -> Row:
    measured: dict[tuple[str, int], pd.Series] = {}
    ks = [int(k) for k in options.ks.split(",")]
    for k in ks:
        decode(folder / str(k), family, str(k), options)
        measured |= speedups(folder / str(k))
    _, advice = printed(folder / PREDICT)
    (found, *_) = advise([folder / PREDICT])
    named = [(one.arm, one.point.k) for one in found.candidates]
    # A k that the sweep left out is decoded as well, or it could not be compared.
    if advice["k"] and advice["k"] not in ks:
        decode(folder / str(advice["k"]), family, str(advice["k"]), options)
        measured |= speedups(folder / str(advice["k"]))
    return {"family": family, **judged(advice, measured, named)}


# -- the settings ----------------------------------------------------------------------------------------------------


def undisturbed(folder: Path, scratch: Path) -> Path:
    """A copy of the run without the guards of a busy machine, which say nothing about acceptance."""
    copy = shutil.copytree(folder, scratch / "run")
    summary = json.loads((copy / SUMMARY_JSON).read_text(encoding="utf-8"))
    summary["guards"] = [one for one in summary["guards"] if one["code"] not in DISTURBED]
    (copy / SUMMARY_JSON).write_text(json.dumps(summary), encoding="utf-8")
    return copy


def rounds_predicted(folder: Path, arm: str, k: int) -> Counted:
    """Tokens and rounds of every prompt at `k`, in the order of the prompts."""
    table, rounds = read_generations(folder).reset_index(drop=True), read_rounds(folder)
    parts = arm_times(table[table["arm"] == arm], rounds, generation_index(rounds, table))
    own = int(parts.table["num_draft_tokens"].max())
    needed = rounds_needed(parts, arm, [k], own, drafted_again(folder), SEED)[:, 0]
    counted = {
        str(prompt): (answer.tokens, count)
        for prompt, answer, count in zip(parts.table["prompt_id"], parts.answers, needed, strict=True)
    }
    first = table[table["arm"] == BASELINE].sort_values(["process", "repeat"]).drop_duplicates(["prompt_id", "turn"])
    return [counted[str(prompt)] for prompt in first["prompt_id"] if str(prompt) in counted]


def held(measured: Counted, predicted: Counted) -> Row:
    """Measured tokens per round beside those predicted for the same prompts."""
    ours, theirs = np.array(measured, float), np.array(predicted, float)  # [P, 2]
    # Rounds for the same tokens: an answer that ended elsewhere, by a near-tie, counts in proportion.
    ratio = intervals(theirs[:, 1] * ours[:, 0] / theirs[:, 0], ours[:, 1])[1]
    within = ratio.low <= 1 <= ratio.high or abs(ratio.value - 1) <= WITHIN
    tau, expected = (float(one[:, 0].sum() / one[:, 1].sum()) for one in (ours, theirs))
    return {
        "tokens_per_round": tau, "predicted": expected, "ratio": [ratio.value, ratio.low, ratio.high], "ok": within,
        "same_answers": int((ours[:, 0] == theirs[:, 0]).sum()), "prompts": len(ours),
    }  # fmt: skip


def pasted(family: str, folder: Path, arms: list[str], titles: list[str], most: int | None) -> Iterator[Row]:
    """One row for each arm and engine, over the run's first `most` prompts."""
    with tempfile.TemporaryDirectory() as scratch:
        copy = undisturbed(folder, Path(scratch))
        recording = read_recording(copy)
        target = json.loads((Path(recording.config.target.path) / "config.json").read_text(encoding="utf-8"))
        prompts = [one.prompt for one in answers_of(recording, BASELINE, target["vocab_size"])][:most]
        ends = tuple(recording.manifest["target"]["eos_token_ids"])
        request = Request(recording.config.max_new_tokens, ends)
        for arm in arms:
            text, advice = printed(copy, arm)
            (found, *_) = advise([copy], arm)
            k = found.candidates[0].point.k
            texts = sections(text).get(f"{arm_name(arm)} at k={k}", {})
            predicted = rounds_predicted(copy, arm, k)[:most]
            for title in titles:
                row: Row = {"family": family, "arm": arm, "k": k, "engine": title, "advice": advice}
                place = Path(scratch) / arm
                yield row | outcome(title, texts.get(title, ""), text, k, prompts, request, place, predicted)


def outcome(
    title: str, text: str, said: str, k: int, prompts: Any, request: Request, folder: Path, predicted: Counted
) -> Row:
    """The text's start and acceptance, or why there is none."""
    line = next((one for one in said.splitlines() if one.startswith(f"# {title} (")), "")
    if not text:
        return {"text": None, "ok": None, "why": line or "advice gives no settings"}
    started = time.perf_counter()
    try:
        measured = run(title, text, k, prompts, request, folder / title)
    except Exception as error:  # a text that does not run is the finding
        return {"text": text, "ok": False, "why": f"{type(error).__name__}: {error}"}
    return {"text": text, "note": line, "seconds": time.perf_counter() - started, **held(measured, predicted)}


def say(row: Row) -> str:
    name = f"{row['family']:6}{row['arm']:7}k={row['k']:<3} {row['engine']:13}"
    if row["ok"] is None:
        return f"{name} none: {row['why']}"
    if "ratio" not in row:
        return f"{name} FAILED: {row['why']}"
    value, low, high = row["ratio"]
    return (
        f"{name} {row['tokens_per_round']:.3f} tokens a round, predicted {row['predicted']:.3f}; "
        f"ratio {value:.3f} ({low:.3f} to {high:.3f}), {row['same_answers']} of {row['prompts']} answers as long, "
        f"{row['seconds']:.0f} s  {'ok' if row['ok'] else 'DIFFERS'}"
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--family", default="both", choices=(*TARGETS, "both"))
    parser.add_argument("--parts", default="sweep,settings")
    parser.add_argument("--ks", default=f"1,2,3,4,6,8,11,{LARGEST}")
    parser.add_argument("--engines", default=",".join(TITLES))
    parser.add_argument("--arms", default=",".join(ARMS), help="whose settings")
    parser.add_argument("--prompts", type=int, help="of the run's, for the settings; all by default")
    parser.add_argument("--limit", type=int, default=42, help="prompts of a run")
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--execution", default="eager")
    parser.add_argument("--folder", type=Path, default=Path("outputs/k_curve"))
    options = parser.parse_args()
    options.redraft = True
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # whoever ends this ends its servers
    warn_if_busy()
    before, rows, chosen = hardware(), list[Row](), list[Row]()
    for family in TARGETS if options.family == "both" else [options.family]:
        folder = options.folder / f"{family}-{options.execution}-{options.limit}x{options.repeats}"
        decode(folder / PREDICT, family, PREDICT, options)
        if "sweep" in options.parts:
            chosen.append(sweep(family, folder, options))
            print(json.dumps(chosen[-1]), flush=True)
        if "settings" in options.parts:
            asked = options.arms.split(","), options.engines.split(","), options.prompts
            for row in pasted(family, folder / PREDICT, *asked):
                rows.append(row)
                print(say(row), flush=True)
    parts = "-".join(sorted(options.parts.split(",")))
    result = {"within": WITHIN, "prompts": options.limit, "sweep": chosen, "settings": rows}
    keep("advise", result, before, f"{options.family}-{parts}")
    return int(any(row["outcome"] == "differs" for row in chosen) or any(row["ok"] is False for row in rows))


if __name__ == "__main__":
    sys.exit(main())

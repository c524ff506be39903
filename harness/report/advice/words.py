"""Advice in words for a terminal: the answer, how sure it is, other batch sizes, and settings to paste."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from harness.metrics.summary import overall
from harness.report.advice.advice import EITHER, NONE, Advice, Candidate, ran_in
from harness.report.advice.settings import Deployed, Drafting, settings
from harness.report.leaderboard.conditions import facts
from harness.report.manifest_words import at
from harness.report.names import arm_name, in_ascii, known, listed, number, percent, run_to_run_text, span, times

NOT_KNOWN = "n.d."
MAX_NEW_TOKENS = 256  # where no run says it


def lines(found: Sequence[Advice]) -> list[str]:
    """The answer for the smallest batch size, then one line for each other."""
    main, others = found[0], found[1:]
    datasets = list(dict.fromkeys(str(row["dataset"]) for run in main.runs for row in run.summary["rows"]))
    said = [facts([run.manifest for run in main.runs], datasets) + f" · batch size {main.batch_size}"]
    said += ["", answer(main), *(f"  {candidate_line(one)}" for one in main.candidates)]
    if main.candidates:
        said.append("  speedups: decode time over this run's own baseline, geometric mean over prompts")
        said.append(f"  {spread(main)}")
    said += [f"at batch size {one.batch_size}: {answer(one)}" for one in others]
    return [in_ascii(line) for line in said]


def answer(advice: Advice) -> str:
    """One sentence."""
    if advice.abstains:
        return f"No advice: {advice.abstains}."
    if advice.arm == NONE:
        return "Do not draft: no drafter is shown to be faster than plain decoding."
    first = advice.candidates[0]
    if advice.arm == EITHER:
        rivals = [one for one in advice.candidates if one is first or first.overlaps(one)]
        names = listed([f"{arm_name(one.arm)} at k={one.point.k}" for one in rivals])
        return f"Either: {names} are not distinguishable, their intervals overlap."
    return (
        f"Use {arm_name(first.arm)} at k={first.point.k}: {times(first.point.speedup)} as fast as plain decoding "
        f"({span(first.point.low, first.point.high)})."
    )


def candidate_line(one: Candidate) -> str:
    """`DFlash: 3.49x (3.31 to 3.68) at k=15, measured, 7.34 tokens a round; at the floor 4.1x`."""
    point = one.point
    how = "measured" if point.measured else "predicted from this run's rounds and cost table"
    floor = times(one.floor) if known(one.floor) else NOT_KNOWN
    return (
        f"{arm_name(one.arm)}: {times(point.speedup)} ({span(point.low, point.high)}) at k={point.k}, {how}, "
        f"{number(point.tokens_per_round)} tokens a round; at the machine's floor {floor}"
        + (f"; as good: k={listed([str(k) for k in one.as_good])}" if one.as_good else "")
    )


def spread(advice: Advice) -> str:
    """What the intervals hold: prompts, and fresh processes where every run had several."""
    said = list(dict.fromkeys(filter(None, (run_to_run_text(run.summary) for run in advice.runs))))
    if not said:
        return "The intervals are over prompts alone: the variation from run to run is not in them."
    moves = [
        f"{arm_name(str(row['arm']))} {percent(row['speedup_decode_run_spread'])}"
        for run in advice.runs
        for row in overall(run.summary)
        if known(row.get("speedup_decode_run_spread"))
    ]
    return " ".join(said) + (f" From process to process speedups vary by {listed(moves)}." if moves else "")


def pasteable(advice: Advice) -> list[str]:
    """Settings for every engine, for the arms that the answer names."""
    if advice.abstains:
        return []
    first = advice.candidates[0]
    chosen = [] if advice.arm == NONE else [first]
    if advice.arm == EITHER:
        chosen += [one for one in advice.candidates[1:] if first.overlaps(one)]
    ran = ran_in(advice.runs)
    said: list[str] = []
    shown: list[Candidate | None] = [*chosen] or [None]
    for one in shown:
        drafting = None if one is None else Drafting(one.kind, one.path, one.point.k, one.conventions)
        said += ["", f"# settings for {'plain decoding' if one is None else f'{arm_name(one.arm)} at k={one.point.k}'}"]
        for setting in settings(deployed(advice, one), drafting):
            here = "run here" if ran.get(setting.engine) else "not run here"
            note = f"; {setting.note}" if setting.note else ""
            said += [f"# {setting.title} ({here}{note})", *([setting.text] if setting.text else [])]
    return [*said, ""]


def deployed(advice: Advice, one: Candidate | None) -> Deployed:
    """The target as the runs had it: of each fact the first that a run knows."""
    manifests = [run.manifest for run in advice.runs]

    def first(*path: str) -> Any:
        return next((value for one in manifests if (value := at(one, *path)) is not None), None)

    arm = None if one is None else one.arm.removeprefix("llama_cpp_")
    gguf = first("config", "target", "gguf"), arm and first("config", "drafters", arm, "gguf")
    return Deployed(
        str(first("models", "target", "path") or "TARGET"),
        str(first("target", "dtype") or "auto").removeprefix("torch."),
        str(first("target", "device") or ""),
        int(first("config", "max_new_tokens") or MAX_NEW_TOKENS),
        tuple(int(token) for token in first("target", "eos_token_ids") or ()),
        *(None if file is None else str(file) for file in gguf),
    )

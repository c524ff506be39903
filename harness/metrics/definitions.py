"""The definition of every figure of a summary, copied into `summary.json` and docs/metrics.md.

Update the tables of docs/metrics.md with `python -m harness.metrics.definitions docs/metrics.md`.
"""

# ruff: noqa: E501 (a table reads best with a row on a line)

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

BEGIN, END = "<!-- definitions: begin -->", "<!-- definitions: end -->"


@dataclass(frozen=True, slots=True)
class Definition:
    """One column of a summary row."""

    name: str
    unit: str
    text: str
    group: str


def _group(group: str, *entries: tuple[str, str, str]) -> list[Definition]:
    return [Definition(name, unit, text, group) for name, unit, text in entries]


def _speedup(clock: str, seconds: str, tokens: str) -> list[Definition]:
    name = f"speedup_{clock}"
    return _group(
        "speedup",
        (name, "ratio", f"Geometric mean over prompts of r = the other arm's time / this arm's time ({seconds}) for the same tokens. Within a prompt, turns are summed and the median over repeats is taken first. Times are divided by {tokens}, so prompts with unequal counts (`unequal_token_prompts`) are compared per token. The other arm is the baseline in `rows` and `other` in `pairs`. Above 1, this arm is faster."),
        (f"{name}_low", "ratio", f"Lower end of the interval of `{name}`: symmetric studentised bootstrap over prompts of the log ratio, at the summary's `confidence`. Null below 5 prompts."),
        (f"{name}_high", "ratio", f"Upper end of the interval of `{name}`."),
        (f"{name}_words", "text", f"Conclusion from the interval of `{name}`: faster, slower, or not distinguishable (the interval holds 1, or there is none)."),
        (f"{name}_token_weighted", "ratio", "Sum of the other arm's times / sum of this arm's times, over the same prompts and tokens: long answers count more. If counts differ, this arm's time per token is multiplied by the other arm's count."),
        (f"{name}_token_weighted_low", "ratio", f"Lower end of the interval of `{name}_token_weighted`, same resamples."),
        (f"{name}_token_weighted_high", "ratio", f"Upper end of the interval of `{name}_token_weighted`."),
    )  # fmt: skip


DEFINITIONS: tuple[Definition, ...] = (
    *_group(
        "cell",
        ("dataset", "text", "Dataset of the prompts."),
        ("category", "text", "Category of the prompts; `all` pools every category of the dataset."),
        ("arm", "text", "`baseline`, or a drafter's config key."),
        ("batch_size", "prompts", "Prompts decoded together."),
        ("num_draft_tokens", "tokens", "k: tokens proposed per round; the verify pass is k + 1 wide. 0 for the baseline."),
        ("synthetic", "true or false", "True for a run with random weights or assumed acceptance: costs are measured, gains are not, and no verdict is claimed."),
    ),
    *_group(
        "counts",
        ("prompts", "count", "Prompts with at least one finished generation."),
        ("generations", "count", "Finished generations (prompt x turn x repeat). Every other figure rests on these alone."),
        ("errors", "count", "Generations that ended in an exception; they enter no other figure."),
        ("tainted", "count", "Finished generations with doubtful times; their `taint` is stopped, clock_jump, buffered, stalled or busy."),
        ("untimed", "count", "Tainted generations (stopped, clock_jump, buffered) that are left out of every time, speed and speedup. They enter every other figure."),
        ("rounds", "count", "Rounds of propose, verify, accept."),
        ("tokens", "tokens", "Output tokens, including the first of each generation, which comes from prefill."),
        ("finish_eos", "count", "Generations that ended with an end-of-sequence token."),
        ("finish_length", "count", "Generations cut at max_new_tokens."),
        ("truncated_share", "share", "finish_length / generations."),
    ),
    *_group(
        "losslessness",
        ("verdict", "text", "The worst verdict in the cell: mismatch, tie, exact, or none if nothing was judged."),
        ("verdict_exact", "count", "Generations whose tokens equal the baseline's."),
        ("verdict_tie", "count", "Generations whose first difference is a near-tie of the target within the tolerance."),
        ("verdict_mismatch", "count", "Generations whose first difference is not a near-tie: the output is not the target's."),
        ("verdict_none", "count", "Generations not judged: the baseline's own, sampled ones, and those without a baseline to compare with."),
    ),
    *_group(
        "acceptance",
        ("acceptance_length", "tokens/round", "tau: sum of emitted / rounds, pooled over rounds. Includes the bonus token, excludes prefill's token, cut at EOS and length."),
        ("acceptance_length_prompt_mean", "tokens/round", "Mean over prompts of each prompt's emitted / rounds."),
        ("acceptance_length_raw", "tokens/round", "1 + mean of accepted, before the cut at EOS and length: never below acceptance_length."),
        ("acceptance_rate", "share", "Sum of accepted / sum of drafted, raw counts. It falls with k by construction, so compare it at equal k only. Null if nothing was drafted."),
        ("mean_drafted", "tokens/round", "Sum of drafted / rounds."),
        ("verified_slots_used", "share", "Sum of emitted / sum of (drafted + 1): the share of verified slots that became tokens."),
        ("position_unconditional", "share, list", "Per draft position j = 1, 2, ...: rounds that accepted j or more / rounds that drafted j or more."),
        ("position_conditional", "share, list", "Per draft position j: rounds that accepted j or more / rounds that accepted j - 1 or more and drafted j or more. Null if no round did."),
        ("position_rounds", "count, list", "Per draft position j: rounds that drafted j or more, the denominators."),
    ),
    *_group(
        "others' acceptance length",
        ("al_as_vllm", "tokens/round", "As vLLM's counters: 1 + sum of accepted / rounds that drafted anything. Raw: the last round also counts tokens past EOS."),
        ("al_as_specbench", "tokens/round", "As Spec-Bench: mean over all rounds of accepted + 1, raw, pooled."),
        ("al_as_dflash", "tokens/round", "As z-lab's dflash 0.1.0: mean over generations of each one's mean emitted per round. Its older code took accepted + 1 raw."),
        ("al_as_gptfast", "tokens/round", "As gpt-fast: mean of accepted over all rounds, without the bonus token."),
        ("al_as_specforge", "tokens/round", "As SpecForge's bench_eagle3: sum of output tokens / rounds, with prefill's token in the numerator."),
    ),
    *_group(
        "speed",
        ("decode_tok_s", "tokens/s", "Sum of (output tokens - 1) / sum of decode seconds, without prefill and its token. Speed of one stream; in a batch, each row's clock is the batch's."),
        ("end_to_end_tok_s", "tokens/s", "Sum of output tokens / sum of (prefill + decode) seconds. Speed of one stream."),
        ("throughput_tok_s", "tokens/s", "Sum of output tokens / sum of wall seconds, prefill included, over all rows of a batch. A batch's wall time is shared equally by its prompts. Null if an engine does not report it."),
        ("ttft_ms", "ms", "Time to first token: median of prefill seconds over generations."),
        ("ttft_p95_ms", "ms", "95th percentile of prefill seconds over generations."),
        ("draft_ms", "ms/round", "Mean time per round spent proposing."),
        ("verify_ms", "ms/round", "Mean time per round spent in the target's pass."),
        ("other_ms", "ms/round", "Mean time per round spent in neither: acceptance, bookkeeping, host."),
        ("decode_step_ms", "ms", "Mean time per round of the baseline in the same cell: one decode step."),
        ("c_draft", "decode steps", "draft_ms / decode_step_ms."),
        ("c_verify", "decode steps", "verify_ms / decode_step_ms; above 1 the wide pass is not free."),
        ("c_other", "decode steps", "other_ms / decode_step_ms."),
        ("predicted_speedup", "ratio", "acceptance_length / (c_draft + c_verify + c_other). A gap to the measured decode speedup is time outside the rounds, or prompts without a pair."),
        ("unattributed_share", "share", "1 - sum of (draft + verify + other) / sum of decode seconds: decode time that falls in no round. In a batch it includes the prefill of other rows."),
        ("peak_memory_bytes", "bytes", "Largest peak over the cell's generations. Null if the device reports none."),
        ("peak_memory_over_baseline_bytes", "bytes", "peak_memory_bytes minus the baseline's in the same cell."),
    ),
    *_group(
        "floor",
        ("floor_ms", "ms/round", "The least time of a round on this machine: verify_floor_ms + draft_floor_ms. For the baseline it is the floor of one decode step. Null for a run that measured no rates."),
        ("verify_floor_ms", "ms/round", "Mean over rounds of the target pass's floor over drafted + 1 rows of every sequence of the batch: the larger of bytes / bandwidth and operations / matrix-product rate. Bytes are the weights in use once (of a mixture the experts that the rows choose, in expectation), embedding rows, and keys and values within each layer's window; the bandwidth is that of a working set as large as the weights of target and drafter."),
        ("draft_floor_ms", "ms/round", "Mean over rounds of the floor of the drafter's own passes: each draft's pass for a chain, block and taking in the verified rows for a block drafter. 0 for a drafter without a network; null for one whose shape is unknown. The drafter's reading of the prompt, which is timed in the first round, has no floor."),
        ("strength", "share", "floor_ms / (draft_ms + verify_ms + other_ms): the share of a round that no engine could save on this machine, host and bookkeeping included. An engine that reports no parts of a round is measured by its decode time per round."),
        ("verify_strength", "share", "verify_floor_ms / verify_ms: the target's pass and the accept rule alone."),
        ("draft_strength", "share", "draft_floor_ms / draft_ms: proposing and taking in verified rows alone. Null without a draft floor."),
        ("baseline_strength", "share", "strength of the baseline in the same cell. Below 0.5, speedups are those over a slow loop."),
        ("speedup_at_floor", "ratio", "acceptance_length x floor_ms of the baseline / floor_ms: the speedup that a perfect implementation would see on this machine at the same acceptance."),
    ),
    *_speedup("decode", "decode seconds, prefill excluded", "the tokens decoded, prefill's excluded"),
    *_speedup("end_to_end", "prefill + decode seconds", "the output tokens"),
    *_group(
        "speedup",
        ("paired_prompts", "count", "Prompts behind `speedup_decode` and its interval: both arms finished them and decoded a token."),
        ("paired_prompts_end_to_end", "count", "Prompts behind `speedup_end_to_end` and its interval. There may be more of them: an answer of one token has an end-to-end time and no decode time."),
        ("unequal_token_prompts", "count", "The `paired_prompts` whose token counts differ between the two arms."),
        ("processes", "count", "Fresh processes behind the speedups and their intervals (`restarts`). With 1, an interval covers the choice of prompts alone, not what another process would bring; with more, it is over processes and prompts: a two-way layout of the log ratios with Student's bounds for both parts, and the estimate is the geometric mean over both."),
        ("speedup_decode_run_spread", "share", "Standard deviation of the log of `speedup_decode` from process to process, beyond what the prompts' own noise explains. 0.05 is about 5 %. Null with one process."),
    ),
    *_group(
        "quality",
        ("accuracy", "share", "Mean score of the scored generations (datasets with an answer key)."),
        ("scored", "count", "Generations with a score."),
        ("thinking_tokens", "tokens", "Output tokens inside the thinking marks; an empty channel counts none. Null if thinking was not requested."),
        ("repeated_8grams", "share", "8-grams of output tokens that occurred earlier in the same generation / all 8-grams, pooled. Looping text is easy to draft and measures nothing."),
        ("looping_generations", "count", "Generations with a share of repeated 8-grams above one half."),
        ("guards", "list of text", "Reasons to doubt this row, each as `code: message`."),
    ),
)  # fmt: skip

#: Figures of a run with several engines, under `engines` and `partings` of a summary; `.` is an entry of an entry.
OF_ENGINES: tuple[Definition, ...] = tuple(
    _group(
        "several engines",
        ("own_baseline", "text", "The baseline of the arm's own engine."),
        ("own_speedup", "ratio", "`speedup_decode` over `own_baseline`: what drafting gains within that engine. Bounds as `_low` and `_high`."),
        ("fastest_baseline", "text", "The baseline that no other baseline of the table beats, of whichever engine."),
        ("speedup_over_fastest", "ratio", "`speedup_decode` over `fastest_baseline`: what the arm gains over the best plain decoding in the run. Bounds as `_low` and `_high`."),
        ("acceptance.other_arm", "text", "The harness's arm of the same name, beside which the arm's acceptance stands. `acceptance` is null where one of the two has no rounds."),
        ("acceptance.prompts", "count", "Prompts for which both arms have rounds; every figure of `acceptance` is over these alone."),
        ("acceptance.rate", "share", "Sum of accepted / sum of drafted of the harness's arm, raw as in `acceptance_rate`."),
        ("acceptance.other_rate", "share", "The same of the engine's arm, as that engine counts."),
        ("acceptance.recounted", "share", "`acceptance.rate` counted as the engine counts: no accepted tokens past an end token unless it was the last of its draft, no drafts past the length limit."),
        ("acceptance.past_end", "share", "`acceptance.rate` - `acceptance.recounted`: the part of the difference that is counting alone."),
        ("acceptance.difference", "share", "`acceptance.other_rate` - `acceptance.recounted`: what is left when both count alike, so what the two drafters do otherwise. `difference_low` and `difference_high` are a percentile interval over resampled prompts; null below 5 prompts."),
        ("acceptance.positions", "list", "The same per draft position, counted alike: `position`, `rate`, `other_rate` (accepted / drafted at that position), `difference` with its bounds."),
        ("answers", "count", "In `partings`: answers of an arm that were judged against the harness's baseline besides its own."),
        ("parted", "count", "In `partings`: those of `answers` whose tokens are not the harness's."),
        ("first", "tokens", "In `partings`: median over the parted answers of the output token, from 0, at which they part."),
    )
)  # fmt: skip

BY_NAME: dict[str, Definition] = {definition.name: definition for definition in DEFINITIONS}


def named(*names: str) -> tuple[str, ...]:
    """`names`, checked. Raises ValueError for a name without a definition: no summary has it, so its column would stay
    empty."""
    unknown = [name for name in names if name not in BY_NAME]
    if unknown:
        raise ValueError(f"{', '.join(unknown)}: expected names of harness/metrics/definitions.py")
    return names


def as_dict() -> dict[str, dict[str, str]]:
    """The definitions as `summary.json` holds them."""
    return {d.name: {"unit": d.unit, "group": d.group, "definition": d.text} for d in (*DEFINITIONS, *OF_ENGINES)}


def as_markdown() -> str:
    """The definitions as the tables of docs/metrics.md."""
    lines: list[str] = []
    known = (*DEFINITIONS, *OF_ENGINES)
    for group in dict.fromkeys(d.group for d in known):
        lines += [f"### {group[0].upper()}{group[1:]}", "", "| name | unit | definition |", "|---|---|---|"]
        lines += [f"| `{d.name}` | {d.unit} | {d.text} |" for d in known if d.group == group]
        lines.append("")
    return "\n".join(lines).rstrip() + "\n"


def fill_in(document: str) -> str:
    """`document` with the part between the two markers replaced. Raises ValueError when it has no markers."""
    head, begin, rest = document.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"expected the markers {BEGIN} and {END}")
    return f"{head}{BEGIN}\n\n{as_markdown()}\n{END}{tail}"


if __name__ == "__main__":
    target = Path(sys.argv[1])
    target.write_text(fill_in(target.read_text(encoding="utf-8")), encoding="utf-8")

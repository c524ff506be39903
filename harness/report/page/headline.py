"""The report's verdict: which drafter is faster, by how much, and how certain that is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from harness.metrics.statistics import EQUAL
from harness.metrics.summary import SummaryRow
from harness.report.floor_words import strength_text, weak_baseline
from harness.report.names import clean, confidence_text, known, listed, span, times
from harness.report.page.data import RunData, Series
from harness.report.places import without_places
from harness.vocabulary import ALL, BASELINE, VERDICTS

Tone = Literal["clear", "even", "void"]
CLOCK = "speedup_decode"
#: Guards under which no result of a run counts as clear.
DISTURBED = {"busy_machine", "unsteady_pace"}
#: Guards about how the passes ran, which decide what the speedups mean: their messages belong to the verdict.
OF_THE_LOOP = ("no_compiler", "not_compiled", "not_joined")
DISTURBED_TEXT = "Other work disturbed the machine during this run (see the warnings below): do not quote it."


@dataclass(frozen=True, slots=True)
class Headline:
    """`tone` sets the colour: a clear result, an even one, or one that does not count (void)."""

    tone: Tone
    title: str
    sentences: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Ratio:
    """One arm's speed as a multiple of another's, with the summary's words for it."""

    value: float
    low: float | None
    high: float | None
    words: str
    prompts: int
    end_to_end: float | None
    end_to_end_prompts: int

    @property
    def has_interval(self) -> bool:
        return known(self.low) and known(self.high)

    def inverted(self) -> Ratio:
        """The same comparison from the other arm's side."""
        other = {"faster": "slower", "slower": "faster"}.get(self.words, self.words)
        return replace(
            self,
            value=1 / self.value,
            low=1 / self.high if self.high else None,
            high=1 / self.low if self.low else None,
            words=other,
            end_to_end=1 / self.end_to_end if self.end_to_end else None,
        )

    def text(self, confidence: str) -> str:
        """`1.31× (95 % interval 1.22 to 1.41)`."""
        inside = f"{confidence} interval {span(self.low, self.high)}" if self.has_interval else "no interval"
        return f"{times(self.value)} ({inside})"


def headline(run: RunData) -> Headline:
    """The verdict of a run over all categories, marked as synthetic if the run is."""
    found = _headline(run)
    if found.tone == "clear" and DISTURBED & {guard["code"] for guard in run.summary.get("guards", [])}:
        found = replace(found, tone="even", sentences=(*found.sentences, DISTURBED_TEXT))
    loops = {guard["code"]: str(guard["message"]) for guard in run.summary.get("guards", [])}
    said = [clean(without_places(loops[code])) for code in OF_THE_LOOP if code in loops]
    found = replace(found, sentences=(*found.sentences, *(f"{text[0].upper()}{text[1:]}." for text in said)))
    rows = [run.row(one) for one in run.series if run.row(one)]
    if weak := weak_baseline(rows):
        strength = min(row["strength"] for row in rows if row["arm"] == BASELINE and known(row.get("strength")))
        title = f"{found.title}, over a baseline at {strength_text(strength)} of its floor"
        found = replace(found, title=title, sentences=(*found.sentences, f"{weak[0].upper()}{weak[1:]}."))
    return replace(found, title=f"Synthetic: {found.title}") if run.synthetic else found


def _headline(run: RunData) -> Headline:
    """The verdict before marks; each claim rests on the interval of its own comparison."""
    wrong = [one for one in run.contenders if run.row(one).get("verdict_mismatch")]
    ranked = sorted(
        (one for one in run.contenders if known(run.row(one).get(CLOCK))),
        key=lambda one: run.row(one)[CLOCK],
        reverse=True,
    )
    if wrong:
        return _void(run, wrong, ranked)
    if not ranked:
        return _nothing(run)
    confidence = confidence_text(run.summary)
    over = [_against_baseline(run, one, confidence) for one in ranked]
    if all(run.row(one).get(f"{CLOCK}_words") == "slower" for one in ranked):
        names = [one.label for one in ranked]
        title = f"{names[0]} is slower than plain decoding" if len(names) == 1 else "Plain decoding is the fastest"
        beside = [] if len(names) == 1 else [_duel_sentence(run, *ranked[:2])]
        return Headline("clear", title, (*over, *filter(None, beside)))
    if len(ranked) == 1:
        return _single(run, ranked[0], over)
    return _duel(run, ranked, over)


def pair_ratio(run: RunData, arm: Series, other: Series, category: str = ALL) -> Ratio | None:
    """The direct comparison of two drafting arms, in either order of the summary; None if there is none."""
    for pair in run.summary.get("pairs", []):
        if str(pair["category"]) != category or not known(pair.get(CLOCK)):
            continue
        names = (str(pair["arm"]), int(pair["num_draft_tokens"]))
        others = (str(pair["other"]), int(pair["other_num_draft_tokens"]))
        if (str(pair["dataset"]), int(pair["batch_size"])) != (arm.dataset, arm.batch_size):
            continue
        if (names, others) == ((arm.arm, arm.num_draft_tokens), (other.arm, other.num_draft_tokens)):
            return _ratio(pair)
        if (others, names) == ((arm.arm, arm.num_draft_tokens), (other.arm, other.num_draft_tokens)):
            return _ratio(pair).inverted()
    return None


def _ratio(row: SummaryRow) -> Ratio:
    return Ratio(
        float(row[CLOCK]),
        row.get(f"{CLOCK}_low"),
        row.get(f"{CLOCK}_high"),
        str(row.get(f"{CLOCK}_words") or "not distinguishable"),
        int(row.get("paired_prompts") or 0),
        row.get("speedup_end_to_end"),
        # Earlier versions kept one count for both clocks.
        int(row.get("paired_prompts_end_to_end", row.get("paired_prompts")) or 0),
    )


def _void(run: RunData, wrong: Sequence[Series], ranked: Sequence[Series]) -> Headline:
    said = [
        f"{one.label} differs from the target in {run.row(one)['verdict_mismatch']} of "
        f"{run.row(one)['generations']} outputs, so its speed does not count."
        for one in wrong
    ]
    confidence = confidence_text(run.summary)
    said += [_against_baseline(run, one, confidence) for one in ranked if one not in wrong]
    names = listed([one.label for one in wrong])
    verb = "do" if len(wrong) > 1 else "does"
    return Headline("void", f"{names} {verb} not reproduce the target’s output", tuple(said))


def _nothing(run: RunData) -> Headline:
    if not run.drafting:
        return Headline("even", "Only the baseline ran", ("There is nothing to compare it with.",))
    counts = [f"{one.label}: {_errors(run.row(one))}" for one in run.contenders]
    return Headline("void", "Nothing could be compared", (f"{'; '.join(counts)}.",))


def _errors(row: SummaryRow) -> str:
    return f"{row.get('generations') or 0} finished, {row.get('errors') or 0} failed"


def _single(run: RunData, one: Series, over: list[str]) -> Headline:
    ratio = _ratio(run.row(one))
    if not ratio.has_interval:
        return Headline("even", f"Too few prompts to judge {one.label}", tuple(over))
    if ratio.words == "faster":
        return Headline("clear", f"{one.label} is {times(ratio.value)} as fast as plain decoding", tuple(over))
    if ratio.words == EQUAL:
        return Headline("clear", f"{one.label} is as fast as plain decoding, within the margin", tuple(over))
    return Headline("even", f"{one.label} is not distinguishable from plain decoding", tuple(over))


def _duel(run: RunData, ranked: list[Series], over: list[str]) -> Headline:
    first, second = ranked[:2]
    sentence = _duel_sentence(run, first, second)
    ratio = pair_ratio(run, first, second)
    if ratio is None:
        return Headline("even", f"{first.label} and {second.label} share no prompt", tuple(over))
    flips = _flips(run, first, second)
    said = tuple(filter(None, (sentence, *over, flips)))
    if not ratio.has_interval:
        return Headline("even", f"Too few prompts to tell {first.label} and {second.label} apart", said)
    # On the shared prompts the other may be ahead, though its mean over its own prompts is smaller.
    if ratio.words == "slower":
        first, second, ratio = second, first, ratio.inverted()
    if ratio.words == "faster":
        return Headline("clear", f"{first.label} is {times(ratio.value)} as fast as {second.label}", said)
    if ratio.words == EQUAL:
        return Headline("clear", f"{first.label} and {second.label} are equal within the margin", said)
    return Headline("even", f"{first.label} and {second.label} are not distinguishable", said)


def _duel_sentence(run: RunData, first: Series, second: Series) -> str:
    ratio = pair_ratio(run, first, second)
    if ratio is None:
        return ""
    if ratio.words == "slower":
        first, second, ratio = second, first, ratio.inverted()
    confidence = confidence_text(run.summary)
    end = f"; {times(ratio.end_to_end)} end to end, prefill included" if known(ratio.end_to_end) else ""
    if end and ratio.end_to_end_prompts != ratio.prompts:
        end += f", on {_prompts(ratio.end_to_end_prompts)}"
    even = ratio.has_interval and ratio.words == "not distinguishable"
    doubt = " The interval includes 1, so the difference may be chance." if even else ""
    return (
        f"{first.label} against {second.label} on the same {_prompts(ratio.prompts)}: "
        f"{ratio.text(confidence)} in decode time{end}.{doubt}"
    )


def _against_baseline(run: RunData, one: Series, confidence: str) -> str:
    ratio = _ratio(run.row(one))
    said = {"faster": "faster than", "slower": "slower than", EQUAL: "equal within the margin to"}
    words = said.get(ratio.words, "not distinguishable from")
    tail = f", {words} plain decoding" if ratio.has_interval else " over plain decoding"
    return f"{one.label}: {ratio.text(confidence)}{tail}."


def _flips(run: RunData, first: Series, second: Series) -> str:
    """The categories in which each arm is faster; empty for a run of one category."""
    every = ((category, pair_ratio(run, first, second, category)) for category in run.categories)
    ratios = {category: ratio for category, ratio in every if ratio is not None}
    winners: dict[str, list[str]] = {}
    for category, ratio in ratios.items():
        if ratio.words != "not distinguishable":
            winners.setdefault((first if ratio.words == "faster" else second).label, []).append(category)
    total = len(run.categories)
    if total < 2:
        return ""
    parts = [f"{name} is faster in {_in_categories(names, total)}" for name, names in winners.items()]
    decided = sum(len(names) for names in winners.values())
    if not any(ratio.has_interval for ratio in ratios.values()):
        return f"Each of the {total} categories has too few prompts to tell the two apart."
    if not decided:
        return f"The two are not distinguishable in any of the {total} categories."
    if decided < total:
        parts.append(f"the two are not distinguishable in {total - decided} of {total} categories")
    return f"By category: {'; '.join(parts)}."


def _in_categories(names: list[str], total: int) -> str:
    if len(names) == total:
        return f"all {total} categories"
    return listed(names) if len(names) <= 4 else f"{len(names)} of {total} categories"


def _prompts(count: int) -> str:
    return "prompt" if count == 1 else f"{count} prompts"


def losslessness_counts(run: RunData) -> dict[str, Any]:
    """Generations of all drafting arms by verdict, those without one included."""
    counts = dict(run.summary.get("verdicts", {}))
    return {name: int(counts.get(name) or 0) for name in VERDICTS}

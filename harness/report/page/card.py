"""The card of a run: its verdict as a picture."""

from __future__ import annotations

from harness.report.charts.cards import CardBar, card
from harness.report.names import clean, confidence_text, known
from harness.report.page.data import RunData
from harness.report.page.facts import subtitle
from harness.report.page.headline import DISTURBED_TEXT, headline, losslessness_counts

CARD = "card.png"


def draw_card(run: RunData) -> bytes:
    """The card of `run` as PNG, 1200 x 630 pixels."""
    verdict = headline(run)
    figures = ("speedup_decode", "speedup_decode_low", "speedup_decode_high")
    found = [(one, [run.row(one).get(name) for name in figures]) for one in run.contenders]
    bars = [CardBar(one.label, value, low, high, one.colour) for one, (value, low, high) in found if known(value)]
    counts = losslessness_counts(run)
    judged = ", ".join(f"{counts[name]} {name}" for name in ("exact", "tie", "mismatch") if counts[name])
    said = [f"outputs: {judged}"] if judged and not run.synthetic else []
    said += [f"{confidence_text(run.summary)} intervals over prompts"] if any(known(bar.low) for bar in bars) else []
    # The picture leaves its page, and must say itself what spoils it.
    said += ["machine disturbed: do not quote"] if DISTURBED_TEXT in verdict.sentences else []
    return card(clean(verdict.title), [" · ".join(subtitle(run)), " · ".join(said)], bars, verdict.tone, run.synthetic)

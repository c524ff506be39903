"""Rewriting: copy a text with an edit. What a model must own here is exact copying over a distance."""

from __future__ import annotations

from random import Random

from harness.training.corpus.chat import Exchange
from harness.training.corpus.words import (
    ADJECTIVES,
    ANIMALS,
    CITIES,
    COLOURS,
    DAYS,
    FOODS,
    JOBS,
    NAMES,
    OBJECTS,
    PLACES,
    article,
)


def sentence(rng: Random) -> str:
    """One plain sentence of the shared vocabulary."""
    name, other = rng.sample(NAMES, 2)
    draw = rng.randrange(8)
    if draw == 0:
        return f"{name} put the {rng.choice(COLOURS)} {rng.choice(OBJECTS)} near the {rng.choice(PLACES)}."
    if draw == 1:
        return f"The {rng.choice(ADJECTIVES)} {rng.choice(ANIMALS)} slept by the {rng.choice(PLACES)}."
    if draw == 2:
        return f"On {rng.choice(DAYS)} {name} met {other} in {rng.choice(CITIES)}."
    if draw == 3:
        return f"The {rng.choice(JOBS)} sold {rng.choice(FOODS)} and {rng.choice(FOODS)} to {name}."
    if draw == 4:
        return f"{name} and {other} walked from the {rng.choice(PLACES)} to the {rng.choice(PLACES)}."
    if draw == 5:
        return f"There was {article(rng.choice(COLOURS))} {rng.choice(OBJECTS)} in the {rng.choice(PLACES)}."
    if draw == 6:
        return f"{name} gave {other} {rng.randrange(2, 100)} coins for the {rng.choice(OBJECTS)}."
    return f"The {rng.choice(ANIMALS)} likes {rng.choice(FOODS)} more than {rng.choice(FOODS)}."


def _words(text: str) -> list[str]:
    return [w.strip(".,") for w in text.split()]


def _swap(rng: Random, text: str) -> tuple[str, str, str]:
    pools: list[list[str]] = [NAMES, OBJECTS, ANIMALS, PLACES, FOODS, CITIES]
    present = [(w, pool) for w in dict.fromkeys(_words(text)) for pool in pools if w in pool]
    old, pool = rng.choice(present)
    new = rng.choice([w for w in pool if w not in _words(text)])
    edited = " ".join(w.replace(old, new) if w.strip(".,") == old else w for w in text.split(" "))
    return f"Replace {old} with {new}", edited, f"{old} becomes {new}."


def _edit(rng: Random, sentences: list[str]) -> tuple[str, str, str]:
    text = " ".join(sentences)
    draw = rng.random()
    if draw < 0.45:
        return _swap(rng, text)
    if draw < 0.6:
        return "Copy this text exactly", text, "Copy every word."
    if draw < 0.72:
        return "Put each sentence on its own line", "\n".join(sentences), f"There are {len(sentences)} sentences."
    if draw < 0.84:
        which = rng.choice(("first", "last"))
        kept = sentences[1:] if which == "first" else sentences[:-1]
        return f"Remove the {which} sentence", " ".join(kept), f"Leave out the {which} sentence."
    numbered = "\n".join(f"{i + 1}. {s}" for i, s in enumerate(sentences))
    return "Number the sentences", numbered, f"There are {len(sentences)} sentences."


def make(rng: Random) -> list[Exchange]:
    """One edit of two to six sentences, at times of up to thirteen; at times a second edit of the result."""
    while True:
        sentences = [sentence(rng) for _ in range(rng.randrange(2, 7) if rng.random() < 0.92 else rng.randrange(8, 14))]
        ask, reply, plan = _edit(rng, sentences)
        if reply:
            break
    text = " ".join(sentences)
    prompt = rng.choice(
        (f"{ask}: {text}", f"{ask} in this text.\n\n{text}" if "Replace" in ask else f"{ask}.\n\n{text}")
    )
    exchanges = [Exchange(prompt, reply, reply, plan)]
    if rng.random() < 0.25 and "\n" not in reply:
        try:
            ask, reply, plan = _swap(rng, reply)
        except IndexError:  # no word of the pools left to swap
            return exchanges
        exchanges.append(Exchange(f"{ask} as well.", reply, reply, plan))
    return exchanges

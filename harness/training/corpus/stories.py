"""Stories: grammatical and coherent, with a real choice at almost every sentence. The hardest kind to draft for."""

from __future__ import annotations

from random import Random

from .chat import Exchange
from .words import (
    ADJECTIVES,
    ADVERBS,
    ANIMALS,
    CITIES,
    COLOURS,
    DAYS,
    DEEDS,
    FOODS,
    JOBS,
    NAMES,
    NEAR,
    OBJECTS,
    PLACES,
    SIZES,
    article,
    pronoun,
)

Cast = dict[str, str]


def _cast(rng: Random) -> Cast:
    hero, friend, stranger = rng.sample(NAMES, 3)
    he = pronoun(hero)
    adjective = rng.choice(ADJECTIVES)
    animal = rng.choice(ANIMALS)
    thing = rng.choice(OBJECTS)
    place, far = rng.sample(PLACES, 2)
    colour = rng.choice(COLOURS)
    return {
        "hero": hero, "friend": friend, "stranger": stranger, "he": he, "He": he.capitalize(),
        "him": "her" if he == "she" else "him", "his": "her" if he == "she" else "his", "animal": animal,
        "thing": thing, "place": place, "far": far, "adj": adjective, "an_adj": article(adjective),
        "an_animal": article(animal), "a_thing": article(thing), "a_place": article(place), "colour": colour,
        "a_colour": article(colour),
        "food": rng.choice(FOODS),
        "job": rng.choice(JOBS), "day": rng.choice(DAYS), "city": rng.choice(CITIES),
    }  # fmt: skip


OPENINGS = (
    "Once there was {an_adj} {job} named {hero} who lived near the {place}.",
    "In {a_place} far from {city} lived {hero}, {an_adj} {job}.",
    "{hero} was {an_adj} {job} and knew every path of the {place}.",
    "Long ago, in the {place}, {hero} worked as a {job}.",
    "Nobody in the {place} was as {adj} as {hero}, the {job}.",
)
WANTS = (
    "{He} had always wanted to see {city}.",
    "Every {day} {he} shared {food} with {friend}.",
    "{He} kept {a_thing} under the bed and never spoke of it.",
    "At night {he} listened to the wind and thought of {friend}.",
    "What {he} loved most was {a_thing} from {city}.",
    "{His} best friend was {an_animal} with {colour} eyes.",
)
TROUBLES = (
    "One {day} the {thing} was gone.",
    "One morning {he} found {a_thing} at the edge of the {far}.",
    "Then the rain came, and the {far} was cut off from the {place}.",
    "One {day} {an_animal} came to the door and would not leave.",
    "That winter there was no more {food} in the {place}.",
    "A letter arrived from {city}, and it was about the {thing}.",
    "On {day} a stranger called {stranger} asked for the {thing}.",
)
SEARCHES = (
    "{hero} took some {food} and walked to the {far}.",
    "{He} asked the {animal}, but the {animal} only looked away.",
    "{He} looked behind the {far} and found nothing but dust.",
    "For three days {he} followed the {colour} marks on the road.",
    "{friend} said that the way to the {far} was too long.",
    '"We should wait until {day}," said {friend}.',
    '"I will go alone," said {hero}.',
    '"Have you seen the {thing}?" asked {hero}.',
    "The {animal} knew a shorter way, and {hero} went along.",
    "It was dark in the {far}, and {he} was afraid.",
)
TURNS = (
    "There, under {an_adj} tree, lay the {thing}.",
    "At last {stranger} told {him} the truth about the {thing}.",
    "The {animal} began to dig, and soon they saw something {colour}.",
    "In the {far} an old woman gave {him} {a_colour} box.",
    "Suddenly {friend} stood there with the {thing} in both hands.",
    "Then {he} understood that the {thing} had never been lost.",
)
ENDINGS = (
    "From that day on, {hero} and {friend} met every {day}.",
    "{hero} gave the {thing} to {friend} and went home.",
    "They shared the {food}, and nobody was sad that evening.",
    "And the {animal} stayed in the {place} for many years.",
    "{He} never went back to the {far}, but {he} often thought of it.",
    "So {hero} learned that a friend is worth more than {a_thing}.",
)


def scene(rng: Random, cast: Cast, things: list[str]) -> str:
    """A sentence of free choices: nothing in the prompt says which words come. `things` loses the one it takes."""
    thing, near, place = things.pop(), rng.choice(NEAR), rng.choice(PLACES)
    deed, other = rng.sample(DEEDS, 2)
    how, size, colour = rng.choice(ADVERBS), rng.choice(SIZES), rng.choice(COLOURS)
    animal, kind = rng.choice(ANIMALS), rng.choice(ADJECTIVES)
    who = rng.choice((cast["He"], cast["friend"]))
    return rng.choice((
        f"{who} {how} {deed} the {size} {colour} {thing} {near} the {place}.",
        f"{near.capitalize()} the {place}, {article(kind)} {animal} {how} {deed} {article(thing)}.",
        f"{who} {deed} the {thing}, and the {kind} {animal} {how} {other} it {near} the {place}.",
        f"{how.capitalize()}, {article(kind)} {animal} appeared {near} the {place} with {article(size)} {thing}.",
    ))  # fmt: skip


def tell(rng: Random, cast: Cast, sentences: int) -> list[str]:
    """A story of about `sentences` sentences: opening, wish, trouble, search, turn, ending.

    About half of the search is free scenes.
    """
    words = {**cast, "His": cast["his"].capitalize()}
    search = rng.sample(SEARCHES, max(1, sentences - 5))
    things = rng.sample([t for t in OBJECTS if t != cast["thing"]], len(search))
    plan = [rng.choice(OPENINGS), rng.choice(WANTS), rng.choice(TROUBLES)]
    plan += [scene(rng, cast, things) if rng.random() < 0.5 else line for line in search]
    plan += [rng.choice(TURNS), *rng.sample(ENDINGS, 2 if sentences > 6 else 1)]
    return [line.format(**words) for line in plan]


LENGTHS = {"short": (6, 8), "": (7, 11), "long": (12, 15), "two-part": (9, 13)}


def make(rng: Random) -> list[Exchange]:
    """A story about a hero, an animal or a thing that the prompt names; at times a second one, or another ending."""
    cast = _cast(rng)
    size = rng.choice(("short", "", "", "long")) if rng.random() < 0.94 else "two-part"
    low, high = LENGTHS[size]
    sized = f"{size} story" if size else "story"
    pattern = rng.choice((
        "Tell me a {sized} about {hero} and {a_thing}.",
        "Write a {sized} about {hero}, a {job}, and {an_animal}.",
        "Please tell a {sized} with {hero}, {friend} and {an_animal}.",
        "Tell a {sized} that happens in {a_place}. The hero is {hero}.",
        "I would like a {sized} about {an_adj} {job} called {hero}.",
    ))  # fmt: skip
    lines = tell(rng, cast, rng.randrange(low, high + 1))
    cut = rng.randrange(3, len(lines) - 1)
    text = " ".join(lines) if rng.random() < 0.5 else " ".join(lines[:cut]) + "\n\n" + " ".join(lines[cut:])
    if size == "two-part":
        second = _cast(rng)
        kept = ("hero", "friend", "he", "He", "him", "his", "job")
        sequel = tell(rng, {**second, **{k: cast[k] for k in kept}}, rng.randrange(low, high + 1))[2:]
        text = "Part 1\n\n" + text + "\n\nPart 2\n\n" + " ".join(sequel)
        lines += sequel
    plan = f"A story about {cast['hero']}: a beginning, some trouble, a turn and an end."
    exchanges = [Exchange(pattern.format(sized=sized, **cast), text, None, plan)]
    draw = rng.random()
    if draw < 0.12:
        end = rng.choice([e for e in ENDINGS if e.format(**cast) not in text])
        exchanges.append(Exchange("Give it another ending.", end.format(**cast), None, "One new last sentence."))
    elif draw < 0.24:
        exchanges.append(
            Exchange("Who is the hero of the story?", f"The hero is {cast['hero']}.", cast["hero"], "Name the hero.")
        )
    return exchanges

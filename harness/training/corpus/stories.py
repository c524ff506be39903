"""Stories: grammatical, with a choice at almost every sentence, and scenes made of what only their hero does.

The hardest kind to draft for.
"""

from __future__ import annotations

from random import Random

from harness.training.corpus.chat import Exchange
from harness.training.corpus.words import (
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
    "That winter nobody in the {place} had any {food}.",
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


SCENES = (
    "{who} {how} {deed} the {size} {tint} {item} {near} the {spot}.",
    "{Near} the {spot}, {a_kind} {beast} {how} {deed} {an_item}.",
    "{friend} {deed} the {item}, and the {kind} {beast} {how} {other} it {near} the {spot}.",
    "{How}, {a_kind} {beast} appeared {near} the {spot} with {a_size} {item}.",
    "{who} saw {a_tint} {item} and {how} {deed} it {near} the {spot}.",
    "{Near} the {spot}, {friend} {other} {a_size} {item} for the {kind} {beast}.",
)
HABIT = 0.85


def scene(rng: Random, cast: Cast, number: int, part: int) -> str:
    """Scene `number` of a part. Its words are mostly the hero's habits, the same in all of the hero's stories.

    Nothing in the prompt says them, so a model has to know them: the target can, a drafter hardly.
    """
    habits = Random(f"{cast['hero']}-{number}-{part}")

    def choose(words: list[str], besides: str = "") -> str:
        own = habits.choice(words)
        word = own if rng.random() < HABIT else rng.choice(words)
        return word if word != besides else words[(words.index(word) + 1) % len(words)]

    how, deed, near, spot = choose(ADVERBS), choose(DEEDS), choose(NEAR), choose(PLACES)
    size, tint, kind, beast = choose(SIZES), choose(COLOURS), choose(ADJECTIVES), choose(ANIMALS)
    item, other = choose(OBJECTS, cast["thing"]), choose(DEEDS, deed)
    return SCENES[number].format(
        how=how, How=how.capitalize(), deed=deed, near=near, Near=near.capitalize(), spot=spot, item=item, other=other,
        size=size, tint=tint, kind=kind, beast=beast, who=cast["He"], friend=cast["friend"], an_item=article(item),
        a_size=article(size), a_tint=article(tint), a_kind=article(kind),
    )  # fmt: skip


def tell(rng: Random, cast: Cast, sentences: int, part: int = 1) -> list[str]:
    """A story of about `sentences` sentences: opening, wish, trouble, then steps of the search and scenes in turn,
    turn, ending. Steps and scenes keep their order, so that a story that only goes on never says a thing twice.
    """
    words = {**cast, "His": cast["his"].capitalize()}
    count = min(len(SCENES), max(1, (sentences - 4) // 2))
    plan = [rng.choice(OPENINGS), rng.choice(WANTS), rng.choice(TROUBLES)]
    steps = sorted(rng.sample(range(len(SEARCHES)), count))
    scenes = sorted(rng.sample(range(len(SCENES)), count))
    for step, number in zip(steps, scenes, strict=True):
        plan += [SEARCHES[step], scene(rng, cast, number, part)]
    plan += [rng.choice(TURNS), *(ENDINGS[i] for i in sorted(rng.sample(range(len(ENDINGS)), 1 + (sentences > 6))))]
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
        sequel = tell(rng, {**second, **{k: cast[k] for k in kept}}, rng.randrange(low, high + 1), part=2)[2:]
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

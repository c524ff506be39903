"""Dialogue: small talk and advice over several turns, where later turns refer back to what was said."""

from __future__ import annotations

from random import Random

from harness.training.corpus.chat import Exchange
from harness.training.corpus.words import (
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
    listing,
)

FACTS = {
    "name": ("My name is {v}.", "Your name is {v}.", NAMES),
    "city": ("I live in {v}.", "You live in {v}.", CITIES),
    "job": ("I work as a {v}.", "You work as a {v}.", JOBS),
    "colour": ("My favourite colour is {v}.", "Your favourite colour is {v}.", COLOURS),
    "food": ("I like {v}.", "You like {v}.", FOODS),
    "pet": ("My pet is {a} {v}.", "Your pet is {a} {v}.", ANIMALS),
    "day": ("My free day is {v}.", "Your free day is {v}.", DAYS),
}  # fmt: skip
QUESTIONS = {
    "name": "What is my name?", "city": "Where do I live?", "job": "What is my job?",
    "colour": "Which colour do I like?",
    "food": "Which food do I like?", "pet": "What is my pet?", "day": "When am I free?",
}  # fmt: skip
GREETINGS = (
    "Nice to meet you.", "Thank you for telling me.", "That is good to know.", "I will keep that in mind.",
    "How interesting.", "Welcome.",
)  # fmt: skip
OFFERS = (
    "What can I do for you today?", "What would you like to talk about?", "How can I help?", "Is there anything else?",
)  # fmt: skip


def _fact(key: str, value: str, side: int) -> str:
    a = "an" if value[0] in "aeiou" else "a"
    return str(FACTS[key][side]).format(v=value, a=a)


def _memory(rng: Random) -> list[Exchange]:
    keys = rng.sample(list(FACTS), rng.randrange(2, 5))
    values = {k: rng.choice(FACTS[k][2]) for k in keys}
    opening = " ".join(_fact(k, values[k], 0) for k in keys)
    exchanges = [
        Exchange(f"Hello! {opening}", f"{rng.choice(GREETINGS)} {rng.choice(OFFERS)}", None, "Greet the user.")
    ]
    if rng.random() < 0.4:
        exchanges.append(_advice(rng))
    for key in rng.sample(keys, rng.randrange(1, len(keys))):
        answer = _fact(key, values[key], 1)
        exchanges.append(Exchange(QUESTIONS[key], answer, values[key], f"The user told me the {key}."))
    if rng.random() < 0.3:
        text = "\n".join(f"- {_fact(k, values[k], 1)}" for k in keys)
        exchanges.append(Exchange("List what you know about me.", text, text, f"There are {len(keys)} facts."))
    return exchanges


def _advice(rng: Random) -> Exchange:
    draw = rng.randrange(5)
    if draw == 0:
        first, second, third = rng.sample(FOODS, 3)
        reply = rng.choice((
            f"You could make {first} with {second}. If you have {third}, add a little of it at the end.",
            f"How about {first}? It is quick, and it goes well with {second} and {third}.",
            f"I would try {first} and {second}. Serve it warm, with {third} on the side.",
        ))  # fmt: skip
        return Exchange(rng.choice(("What should I cook?", "Any idea for dinner?")), reply, None, "Suggest a meal.")
    if draw == 1:
        city, other = rng.sample(CITIES, 2)
        place = rng.choice(PLACES)
        reply = rng.choice((
            f"Go to {city}. The {place} is lovely in spring, and the trains are cheap on {rng.choice(DAYS)}.",
            f"I would choose {city} over {other}, because you can walk to the {place}.",
            f"{city} is a good choice. Stay for three days and visit the {place} near the town.",
        ))  # fmt: skip
        return Exchange(
            rng.choice(("Where should I travel?", "Which city should I visit?")), reply, None, "Name a city."
        )
    if draw == 2:
        thing, colour = rng.choice(OBJECTS), rng.choice(COLOURS)
        reply = rng.choice((
            f"Give {article(colour)} {thing}. It is useful and not too dear.",
            f"{article(thing).capitalize()} is always welcome, and {colour} is a cheerful colour.",
            f"Perhaps {article(colour)} {thing}, with a card that you wrote yourself.",
        ))  # fmt: skip
        return Exchange(
            rng.choice(("I need a gift for a friend.", "What is a good gift?")), reply, None, "Suggest a gift."
        )
    if draw == 3:
        steps = rng.sample((
            "take a walk", "drink some water", "call a friend", "write down your plans", "read a few pages",
            "put your phone away", "sleep early", "open the window", "tidy your desk", "listen to quiet music",
        ), 3)  # fmt: skip
        reply = rng.choice(
            (f"Try to {listing(steps)}.", "Here are three ideas:\n" + "\n".join(f"- {s}" for s in steps))
        )
        return Exchange(rng.choice(("I am tired. What helps?", "How can I relax?")), reply, None, "Give three ideas.")
    animal = rng.choice(ANIMALS)
    reply = rng.choice((
        f"{article(animal).capitalize()} needs space, fresh water and {rng.choice(FOODS)} now and then.",
        f"Keep it warm, feed it {rng.choice(FOODS)}, and let it sleep during the day.",
        f"Speak softly, move slowly, and {article(animal)} will trust you by {rng.choice(DAYS)}.",
    ))  # fmt: skip
    return Exchange(f"How do I look after {article(animal)}?", reply, None, f"Advice about {article(animal)}.")


def make(rng: Random) -> list[Exchange]:
    """A talk that remembers facts, or one to three questions for advice."""
    if rng.random() < 0.6:
        return _memory(rng)
    return [_advice(rng) for _ in range(rng.randrange(1, 4))]

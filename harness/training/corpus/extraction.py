"""Extraction: a short text and the wish for some of its facts as JSON."""

from __future__ import annotations

import json
from random import Random
from typing import Any

from harness.training.corpus.chat import Exchange
from harness.training.corpus.words import CITIES, COLOURS, DAYS, FOODS, JOBS, MONTHS, NAMES, OBJECTS, pronoun

Record = dict[str, Any]

ASIDES = (
    "The weather was fine.", "Nobody was late.", "The street was quiet.", "It had rained all week.",
    "The train was on time.", "There was music in the hall.",
)  # fmt: skip


def person(rng: Random) -> tuple[str, Record]:
    name, city, job, age = rng.choice(NAMES), rng.choice(CITIES), rng.choice(JOBS), rng.randrange(20, 80)
    he = pronoun(name).capitalize()
    text = rng.choice((
        f"{name} is a {job} from {city}. {he} is {age} years old.",
        f"{name}, {age}, lives in {city} and works as a {job}.",
        f"A {job} called {name} moved to {city} last year. {he} is {age}.",
        f"{name} has been a {job} in {city} for a long time. {he} turned {age} in May.",
    ))  # fmt: skip
    return text, {"name": name, "city": city, "job": job, "age": age}


def order(rng: Random) -> tuple[str, Record]:
    name, item, colour = rng.choice(NAMES), rng.choice(OBJECTS), rng.choice(COLOURS)
    count, price = rng.randrange(2, 10), rng.randrange(10, 100)
    text = rng.choice((
        f"{name} ordered {count} items: the {colour} {item}, at {price} coins each.",
        f"Order from {name}: {count} of the {colour} {item}. The price is {price} coins.",
        f"We sold {count} pieces of the {colour} {item} to {name} for {price} coins.",
    ))  # fmt: skip
    return text, {"buyer": name, "item": item, "colour": colour, "count": count, "price": price}


def event(rng: Random) -> tuple[str, Record]:
    host, city, day, month = rng.choice(NAMES), rng.choice(CITIES), rng.choice(DAYS), rng.choice(MONTHS)
    hour, kind = rng.randrange(8, 21), rng.choice(("meeting", "concert", "dinner", "lesson", "race", "market"))
    text = rng.choice((
        f"The {kind} in {city} is on {day} at {hour}. {host} is the host. It happens every {month}.",
        f"{host} invites us to a {kind} in {city} in {month}. It starts on {day} at {hour}.",
        f"In {month} there is a {kind}. Go to {city} on {day} at {hour} and ask for {host}.",
    ))  # fmt: skip
    return text, {"event": kind, "host": host, "city": city, "day": day, "month": month, "hour": hour}


def meal(rng: Random) -> tuple[str, Record]:
    cook, first, second = rng.choice(NAMES), *rng.sample(FOODS, 2)
    minutes, guests = rng.randrange(10, 90), rng.randrange(2, 9)
    text = rng.choice((
        f"{cook} cooks {first} with {second} for {guests} guests. It takes {minutes} minutes.",
        f"For {guests} guests, {cook} needs {minutes} minutes to make {first} and {second}.",
    ))  # fmt: skip
    return text, {"cook": cook, "main": first, "side": second, "guests": guests, "minutes": minutes}


MAKERS = (person, order, event, meal)


def dump(value: Any, pretty: bool) -> str:
    return json.dumps(value, indent=2 if pretty else None)


def _single(rng: Random) -> list[Exchange]:
    text, record = rng.choice(MAKERS)(rng)
    if rng.random() < 0.4:
        aside = rng.choice(ASIDES)
        text = f"{aside} {text}" if rng.random() < 0.5 else f"{text} {aside}"
    keys = rng.sample(list(record), rng.randrange(2, len(record) + 1))
    pretty = rng.random() < 0.5
    shape = " Put each key on its own line." if pretty else ""
    wish = ", ".join(keys)
    prompt = rng.choice((
        f"Extract these keys as JSON: {wish}.{shape}\n\nText: {text}",
        f"{text}\n\nGive me JSON with the keys {wish}.{shape}",
        f"Read this text and return JSON with {wish}.{shape}\n{text}",
    ))  # fmt: skip
    reply = dump({k: record[k] for k in keys}, pretty)
    plan = f"The keys are {wish}. Copy each value from the text."
    exchanges = [Exchange(prompt, reply, reply, plan)]
    rest = [k for k in record if k not in keys]
    if rest and rng.random() < 0.5:
        key = rng.choice(rest)
        keys = [*keys, key]
        reply = dump({k: record[k] for k in keys}, pretty)
        exchanges.append(Exchange(f"Add the key {key} too.", reply, reply, f"Add {key} at the end."))
    return exchanges


def _several(rng: Random) -> list[Exchange]:
    maker = rng.choice((person, order, meal))
    made = [maker(rng) for _ in range(rng.randrange(2, 4))]
    keys = rng.sample(list(made[0][1]), rng.randrange(2, 4))
    pretty = rng.random() < 0.5
    shape = " Put each key on its own line." if pretty else ""
    wish = ", ".join(keys)
    body = "\n".join(f"{i + 1}. {text}" for i, (text, _) in enumerate(made))
    prompt = f"Make a JSON list with one object per line of the text. Keys: {wish}.{shape}\n{body}"
    reply = dump([{k: record[k] for k in keys} for _, record in made], pretty)
    return [Exchange(prompt, reply, reply, f"There are {len(made)} objects with the keys {wish}.")]


def make(rng: Random) -> list[Exchange]:
    """One record, or a list of two or three; at times a follow-up that asks for one more key."""
    return _single(rng) if rng.random() < 0.7 else _several(rng)

"""Lists and tables: the same facts in another shape."""

from __future__ import annotations

from random import Random

from harness.training.corpus.chat import Exchange
from harness.training.corpus.words import ANIMALS, CITIES, COLOURS, DAYS, FOODS, JOBS, NAMES, OBJECTS

GROUPS = {"animals": ANIMALS, "foods": FOODS, "cities": CITIES, "colours": COLOURS, "jobs": JOBS}
COLUMNS: dict[str, list[str]] = {
    "name": NAMES, "city": CITIES, "job": JOBS, "colour": COLOURS, "food": FOODS, "day": DAYS, "item": OBJECTS,
}  # fmt: skip
NUMBERS = ("price", "count", "age", "score")


def table(header: list[str], rows: list[list[str]]) -> str:
    """A Markdown table."""
    lines = ["| " + " | ".join(header) + " |", "|" + " --- |" * len(header)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows])


def _rows(rng: Random) -> tuple[list[str], list[list[str]]]:
    header = rng.sample(list(COLUMNS), rng.randrange(1, 4))
    if len(header) == 1 or rng.random() < 0.6:
        header.append(rng.choice(NUMBERS))
    count = rng.randrange(2, 6) if rng.random() < 0.9 else rng.randrange(6, 8)
    columns = [
        rng.sample(COLUMNS[h], count) if h in COLUMNS else [str(rng.randrange(10, 100)) for _ in range(count)]
        for h in header
    ]
    return header, [list(row) for row in zip(*columns, strict=True)]


def _make_table(rng: Random) -> list[Exchange]:
    header, rows = _rows(rng)
    given = "\n".join(", ".join(f"{h} {v}" for h, v in zip(header, row, strict=True)) for row in rows)
    shown = header if rng.random() < 0.6 else rng.sample(header, len(header))
    prompt = rng.choice((
        f"Make a table with the columns {', '.join(shown)}.\n{given}",
        f"{given}\n\nTurn these lines into a table. Columns: {', '.join(shown)}.",
    ))  # fmt: skip
    order = [header.index(h) for h in shown]
    reply = table(shown, [[row[i] for i in order] for row in rows])
    plan = f"The table has {len(shown)} columns and {len(rows)} rows."
    exchanges = [Exchange(prompt, reply, reply, plan)]
    draw = rng.random()
    if draw < 0.2:
        pick = rng.choice(shown)
        values = [row[header.index(pick)] for row in rows]
        text = "\n".join(f"- {v}" for v in values)
        exchanges.append(Exchange(f"List only the {pick} column.", text, text, f"Read the {pick} column from the top."))
    elif draw < 0.4 and len(shown) > 2:
        drop = rng.choice(shown)
        keep = [h for h in shown if h != drop]
        text = table(keep, [[row[header.index(h)] for h in keep] for row in rows])
        exchanges.append(Exchange(f"Drop the {drop} column.", text, text, f"Keep {', '.join(keep)}."))
    return exchanges


def _make_list(rng: Random) -> list[Exchange]:
    items = rng.sample(rng.choice(list(GROUPS.values())), rng.randrange(3, 9))
    given = ", ".join(items)
    style = rng.randrange(4)
    if style == 0:
        ask, reply = f"Number these words: {given}.", "\n".join(f"{i + 1}. {w}" for i, w in enumerate(items))
    elif style == 1:
        ask, reply = f"Make a bullet list of {given}.", "\n".join(f"- {w}" for w in items)
    elif style == 2:
        ask, reply = f"List these words in reverse order: {given}.", "\n".join(f"- {w}" for w in reversed(items))
    else:
        numbers = [str(rng.randrange(10, 100)) for _ in items]
        pairs = "; ".join(f"{w} {n}" for w, n in zip(items, numbers, strict=True))
        ask = f"Write one line per word with its number: {pairs}."
        reply = "\n".join(f"{w}: {n}" for w, n in zip(items, numbers, strict=True))
    exchanges = [Exchange(ask, reply, reply, f"There are {len(items)} words.")]
    if style in (0, 1) and rng.random() < 0.3:
        exchanges.append(Exchange("And in one line?", given, given, "Join the words with commas."))
    return exchanges


def _make_groups(rng: Random) -> list[Exchange]:
    names = rng.sample(list(GROUPS), 2)
    tagged = [(g, w) for g in names for w in rng.sample(list(GROUPS[g]), rng.randrange(2, 5))]
    rng.shuffle(tagged)
    prompt = f"Sort these words into {names[0]} and {names[1]}: {', '.join(w for _, w in tagged)}."
    reply = "\n".join(f"{g}:\n" + "\n".join(f"- {w}" for h, w in tagged if h == g) for g in names)
    return [Exchange(prompt, reply, reply, f"First the {names[0]}, then the {names[1]}.")]


def make(rng: Random) -> list[Exchange]:
    """A table from lines, a list in one of four shapes, or words sorted into two groups."""
    draw = rng.random()
    return (_make_table if draw < 0.55 else _make_list if draw < 0.85 else _make_groups)(rng)

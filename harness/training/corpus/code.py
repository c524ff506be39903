"""Code: small Python functions and classes whose text follows from the request."""

from __future__ import annotations

from random import Random

from harness.training.corpus.chat import Exchange
from harness.training.corpus.words import COLOURS, article

LISTS = ("prices", "scores", "values", "ages", "lengths", "weights", "counts", "marks")
TESTS = (
    ("greater than {n}", "above", "> {n}"),
    ("less than {n}", "below", "< {n}"),
    ("equal to {n}", "equal", "== {n}"),
    ("at least {n}", "at_least", ">= {n}"),
    ("different from {n}", "other", "!= {n}"),
)
NOUNS = ("book", "room", "car", "ticket", "player", "order", "parcel", "plant", "song", "boat")
FIELDS = {
    "title": "str", "name": "str", "owner": "str", "city": "str", "colour": "str", "price": "int", "weight": "int",
    "size": "int", "year": "int", "pages": "int", "open": "bool", "sold": "bool",
}  # fmt: skip


def _reduce(rng: Random) -> tuple[str, str]:
    values, item = rng.choice(LISTS), rng.choice(("value", "item", "number"))
    words, suffix, test = rng.choice(TESTS)
    n = rng.randrange(1, 100)
    words, test = words.format(n=n), test.format(n=n)
    verb = rng.choice(("count", "sum", "collect", "find"))
    name = f"{verb}_{values}_{suffix}"
    head = f"def {name}({values}: list[int]) -> "
    if verb == "collect":
        body = f'list[int]:\n    """Collect the {values} {words}."""\n    result = []\n    for {item} in {values}:\n'
        body += f"        if {item} {test}:\n            result.append({item})\n    return result"
    elif verb == "find":
        body = f'int | None:\n    """Find the first of the {values} {words}."""\n    for {item} in {values}:\n'
        body += f"        if {item} {test}:\n            return {item}\n    return None"
    else:
        step = "1" if verb == "count" else item
        body = (
            f'int:\n    """{verb.capitalize()} the {values} {words}."""\n    total = 0\n    for {item} in {values}:\n'
        )
        body += f"        if {item} {test}:\n            total += {step}\n    return total"
    goal = {"count": "counts", "sum": "sums", "collect": "collects", "find": "finds the first of"}[verb]
    ask = f"Write a Python function {name} that {goal} the {values} {words}. Call the loop variable {item}."
    return ask, head + body


def _class(rng: Random) -> tuple[str, str]:
    noun = rng.choice(NOUNS)
    fields = rng.sample(list(FIELDS), rng.randrange(2, 5) if rng.random() < 0.9 else rng.randrange(5, 8))
    typed = ", ".join(f"{f}: {FIELDS[f]}" for f in fields)
    lines = [f"class {noun.capitalize()}:", f'    """{article(noun).capitalize()} with {", ".join(fields)}."""', ""]
    lines += [f"    def __init__(self, {typed}) -> None:", *(f"        self.{f} = {f}" for f in fields)]
    lines += ["", "    def to_dict(self) -> dict:", "        return {"]
    lines += [*(f'            "{f}": self.{f},' for f in fields), "        }"]
    extra = rng.choice(("none", "setters", "equal", "show"))
    if extra == "setters":
        for f in fields:
            lines += ["", f"    def set_{f}(self, {f}: {FIELDS[f]}) -> None:", f"        self.{f} = {f}"]
    elif extra == "equal":
        lines += ["", "    def __eq__(self, other: object) -> bool:"]
        lines += [f"        if not isinstance(other, {noun.capitalize()}):", "            return False"]
        lines += ["        return self.to_dict() == other.to_dict()"]
    elif extra == "show":
        lines += ["", "    def show(self) -> None:", *(f'        print("{f}:", self.{f})' for f in fields)]
    wish = {"none": "", "setters": " Add setters.", "equal": " Add equality.", "show": " Add a show method."}[extra]
    return f"Write a Python class {noun.capitalize()} with {typed}.{wish}", "\n".join(lines)


def _lookup(rng: Random) -> tuple[str, str]:
    table = rng.choice(("stock", "prices", "codes", "levels", "points"))
    keys = rng.sample(COLOURS, rng.randrange(2, 6))
    numbers = [rng.randrange(1, 100) for _ in keys]
    given = ", ".join(f"{k} {n}" for k, n in zip(keys, numbers, strict=True))
    upper = table.upper()
    lines = [f"{upper} = {{", *(f'    "{k}": {n},' for k, n in zip(keys, numbers, strict=True)), "}", "", ""]
    lines += [f"def get_{table}(key: str) -> int:", f"    if key not in {upper}:"]
    lines += ['        raise KeyError(f"unknown key: {key}")', f"    return {upper}[key]"]
    return f"Write a Python lookup called {table} with {given} and a getter that raises on unknown keys.", "\n".join(
        lines
    )


def _loop(rng: Random) -> tuple[str, str]:
    start, stop, step = rng.randrange(0, 10), rng.randrange(20, 100), rng.randrange(2, 10)
    word = rng.choice(("number", "step", "line", "page"))
    if rng.random() < 0.5:
        code = f"for {word} in range({start}, {stop}, {step}):\n    print({word})"
        return f"Print every {step}th {word} from {start} up to {stop} with a for loop.", code
    code = f"{word} = {start}\nwhile {word} < {stop}:\n    print({word})\n    {word} += {step}"
    return f"Print every {step}th {word} from {start} up to {stop} with a while loop.", code


def make(rng: Random) -> list[Exchange]:
    """A reducing function, a class, a lookup table or a loop; at times a second request that renames or tests it."""
    draw = rng.random()
    ask, code = (_reduce if draw < 0.4 else _class if draw < 0.7 else _lookup if draw < 0.85 else _loop)(rng)
    reply = f"```python\n{code}\n```"
    exchanges = [Exchange(ask, reply, reply, "Write the code and nothing else.")]
    if rng.random() < 0.2 and code.startswith("def "):
        name = code[4 : code.index("(")]
        new = rng.choice(("helper", "compute", "process", "run_query"))
        renamed = f"```python\n{code.replace(name, new)}\n```"
        exchanges.append(Exchange(f"Rename the function to {new}.", renamed, renamed, f"Only the name changes: {new}."))
    return exchanges

"""Worked arithmetic: digit by digit, so that a small model can be right by following its own working."""

from __future__ import annotations

from random import Random

from harness.training.corpus.chat import Exchange
from harness.training.corpus.words import FOODS, NAMES, OBJECTS, pronoun

PLACES = ("ones", "tens", "hundreds", "thousands")


def _digits(value: int) -> list[int]:
    return [int(c) for c in reversed(str(value))]


def work_add(a: int, b: int) -> str:
    """Column addition in words: `ones 7 + 6 = 13, write 3 carry 1; ...`"""
    left, right, carry, parts = _digits(a), _digits(b), 0, []
    width = max(len(left), len(right))
    for i in range(width):
        x = left[i] if i < len(left) else 0
        y = right[i] if i < len(right) else 0
        total = x + y + carry
        step = f"{PLACES[i]} {x} + {y}" + (" + 1" if carry else "") + f" = {total}"
        if i < width - 1:
            carry = int(total > 9)
            step += f", write {total % 10} carry {carry}"
        else:
            step += f", write {total}"
        parts.append(step)
    return "; ".join(parts)


def work_subtract(a: int, b: int) -> str:
    """Column subtraction of a smaller number: `ones 13 - 7 = 6, write 6 borrow 1; ...`"""
    left, right, borrow, parts = _digits(a), _digits(b), 0, []
    for i, x in enumerate(left):
        y = right[i] if i < len(right) else 0
        top = x - borrow
        need = int(top < y)
        value = top + 10 * need - y
        step = f"{PLACES[i]} {x}" + (" - 1" if borrow else "") + f" - {y}"
        step += f", borrow: {top + 10} - {y} = {value}" if need else f" = {value}"
        parts.append(step + f", write {value}")
        borrow = need
    return "; ".join(parts)


def work_multiply(a: int, b: int) -> str:
    """Multiplication by one digit: `ones 7 x 4 = 28, write 8 carry 2; ...`"""
    carry, parts = 0, []
    digits = _digits(a)
    for i, x in enumerate(digits):
        product = x * b
        step = f"{PLACES[i]} {x} x {b} = {product}"
        if carry:
            step += f", plus {carry} = {product + carry}"
        total = product + carry
        if i < len(digits) - 1:
            carry = total // 10
            step += f", write {total % 10} carry {carry}"
        else:
            step += f", write {total}"
        parts.append(step)
    return "; ".join(parts)


def work(a: int, op: str, b: int) -> tuple[str, int]:
    """The working of one operation and its result."""
    if op == "+":
        return f"{a} + {b}: {work_add(a, b)}; so {a} + {b} = {a + b}.", a + b
    if op == "-":
        return f"{a} - {b}: {work_subtract(a, b)}; so {a} - {b} = {a - b}.", a - b
    return f"{a} x {b}: {work_multiply(a, b)}; so {a} x {b} = {a * b}.", a * b


def _number(rng: Random, digits: int) -> int:
    return rng.randrange(10 ** (digits - 1), 10**digits)


def _operands(rng: Random) -> tuple[int, str, int]:
    op = rng.choice("++--x")
    digits = rng.choice((2, 2, 3))
    if op == "x":
        return _number(rng, digits), op, rng.randrange(2, 10)
    a, b = _number(rng, digits), _number(rng, rng.choice((2, digits)))
    return (max(a, b), op, min(a, b)) if op == "-" else (a, op, b)


WORDS = {"+": ("Add {a} and {b}.", "What is {a} plus {b}?"), "-": ("Take {b} away from {a}.", "What is {a} minus {b}?"),
         "x": ("Multiply {a} by {b}.", "What is {a} times {b}?")}  # fmt: skip
SYMBOLS = ("What is {a} {op} {b}?", "Work out {a} {op} {b}.", "Please calculate {a} {op} {b} step by step.")


def _plain(rng: Random) -> tuple[str, list[tuple[int, str, int]], str]:
    a, op, b = _operands(rng)
    pattern = rng.choice(SYMBOLS + WORDS[op])
    return pattern.format(a=a, op=op, b=b), [(a, op, b)], ""


def _chain(rng: Random) -> tuple[str, list[tuple[int, str, int]], str]:
    a, b = _number(rng, 2), _number(rng, 2)
    c = rng.randrange(10, a + b)
    if rng.random() < 0.5 and c < 100:
        return f"What is {a} + {b} - {c}?", [(a, "+", b), (a + b, "-", c)], ""
    d = _number(rng, 2)
    return f"What is {a} + {b} + {d}?", [(a, "+", b), (a + b, "+", d)], ""


def _story_problem(rng: Random) -> tuple[str, list[tuple[int, str, int]], str]:
    name, other = rng.sample(NAMES, 2)
    thing = rng.choice(("coins", "cards", "books", "stamps", "shells", "cups", *FOODS[5:8]))
    he = pronoun(name).capitalize()
    a, b = _number(rng, 2), _number(rng, 2)
    draw = rng.random()
    if draw < 0.35:
        c = rng.randrange(10, min(a + b, 100))
        text = (
            f"{name} has {a} {thing}. {he} finds {b} more and gives {c} to {other}. How many {thing} does {name} have?"
        )
        return text, [(a, "+", b), (a + b, "-", c)], f" {thing}"
    if draw < 0.65:
        n = rng.randrange(2, 10)
        text = f"{name} fills {n} boxes with {a} {thing} each. {he} then adds {b} more. How many {thing} are there?"
        return text, [(a, "x", n), (a * n, "+", b)], f" {thing}"
    if draw < 0.85:
        low, high = min(a, b), max(a, b)
        text = f"{name} has {high} {thing} and {other} has {low}. How many more {thing} does {name} have?"
        return text, [(high, "-", low)], f" {thing}"
    n = rng.randrange(2, 10)
    item = rng.choice(OBJECTS)
    return f"One {item} costs {a} coins. How many coins do {n} cost?", [(a, "x", n)], " coins"


def _reply(steps: list[tuple[int, str, int]], unit: str, rng_bullets: bool) -> tuple[str, int, str]:
    lines, value = [], 0
    for step in steps:
        line, value = work(*step)
        lines.append(("- " if rng_bullets else "") + line)
    working = "\n".join(lines)
    return f"{working}\nAnswer: {value}{unit}", value, working


def make(rng: Random) -> list[Exchange]:
    """One sum or word problem; at times a follow-up that builds on the answer before."""
    draw = rng.random()
    prompt, steps, unit = (_plain if draw < 0.45 else _chain if draw < 0.65 else _story_problem)(rng)
    bullets = rng.random() < 0.25
    if bullets:
        prompt += " Use bullets."
    reply, value, _ = _reply(steps, unit, bullets)
    plan = "Work digit by digit, then give the answer."
    exchanges = [Exchange(prompt, reply, str(value), plan)]
    if rng.random() < 0.25:
        b = _number(rng, 2)
        op = "-" if value > b and rng.random() < 0.4 else "+"
        ask = f"Now add {b} to that." if op == "+" else f"Now take {b} away from that."
        reply, value, _ = _reply([(value, op, b)], unit, bullets)
        exchanges.append(Exchange(ask, reply, str(value), plan))
    return exchanges

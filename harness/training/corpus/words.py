# ruff: noqa: SIM905  (word lists read better as text)
"""The modest vocabulary that every kind of chat draws from, so that a model of a few million parameters can own it."""

from __future__ import annotations

NAMES = (
    "Ada Ben Cora Dan Elif Finn Gita Hugo Iris Jon Kira Leo Mara Nils Olga Pia Quinn Rosa Sam Tess Uma Vera Will Yara "
    "Zoe Anton Bela Clara Diego Emma"
).split()
SHE = frozenset("Ada Cora Elif Gita Iris Kira Mara Olga Pia Rosa Tess Uma Vera Yara Zoe Clara Emma Bela".split())
CITIES = (
    "Oslo Rome Lima Cairo Paris Quito Delhi Tokyo Bern Dublin Prague Vienna Lisbon Athens Berlin Madrid Boston Accra "
    "Hanoi Riga"
).split()
COLOURS = "red blue green black white yellow brown grey pink orange".split()
ANIMALS = "fox owl cat dog hare mouse crow bear goat frog duck wolf horse snail otter badger".split()
OBJECTS = (
    "lamp key map cup bell box rope book coat drum clock mirror basket ladder kite whistle lantern candle boat wheel"
).split()
FOODS = (
    "bread soup rice tea honey apples pears plums beans cheese butter eggs milk carrots onions lemons nuts fish salt "
    "corn"
).split()
JOBS = "baker teacher nurse farmer pilot painter driver cook doctor singer builder writer".split()
PLACES = "forest village harbour mill garden market castle tower valley desert orchard meadow".split()
DAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()
MONTHS = "January February March April May June July August September October November December".split()
ADJECTIVES = "old small quiet brave tired clever gentle proud shy lonely cheerful careful".split()
SIZES = "tiny small large huge heavy light round narrow".split()
ADVERBS = "slowly quietly gladly softly quickly calmly gently proudly sadly kindly".split()
DEEDS = "carried cleaned lifted moved wrapped touched painted shook dropped hid".split()
NEAR = "behind near beside beyond past".split()


def pronoun(name: str) -> str:
    """The pronoun that the corpus uses for a name: every name keeps one, so that references can be followed."""
    return "she" if name in SHE else "he"


def article(word: str) -> str:
    return f"an {word}" if word[0] in "aeiou" else f"a {word}"


def listing(items: list[str]) -> str:
    """`a, b and c`"""
    return items[0] if len(items) == 1 else ", ".join(items[:-1]) + " and " + items[-1]

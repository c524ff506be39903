"""The report's colours for light and dark pages, and how charts switch between them.

Charts are drawn in the light colours. The page replaces each by the CSS variable of its name, so an inline SVG follows
the reader's preference as the text around it does.
"""

from __future__ import annotations

import re

from drafters.registry import KINDS

#: name -> (light, dark). Light values are unique: `follow_page` recognises a colour by them.
PALETTE: dict[str, tuple[str, str]] = {
    "page": ("#fbfaf8", "#14171b"),
    "card": ("#fefefe", "#1b1f24"),
    "ink": ("#1d2229", "#e8eaed"),
    "muted": ("#626c78", "#9ba5b1"),
    "line": ("#e4e6ea", "#2c3239"),
    "axis": ("#b9c0c9", "#515b66"),
    "good": ("#23774b", "#6cc794"),
    "warn": ("#946200", "#e2b458"),
    "bad": ("#b3261e", "#ff8f85"),
    "arm-baseline": ("#868e99", "#89929d"),
    **{f"arm-{kind.name}": kind.colour for kind in KINDS.values() if kind.colour is not None},
    "arm-5": ("#0e7c86", "#58c4cd"),
    "arm-6": ("#7a6a1f", "#c9b75f"),
    "arm-7": ("#5f5f8c", "#a5a5d6"),
    "part-draft": ("#1f9a8a", "#4cc2b2"),
    "part-verify": ("#4d5d7c", "#8b9cc0"),
    "part-other": ("#cdb27c", "#a9905c"),
    "cat-0": ("#3b78b8", "#7ab5ec"),
    "cat-1": ("#d0742b", "#f0a468"),
    "cat-2": ("#3c9163", "#72c898"),
    "cat-3": ("#8a5fb5", "#bf9ce6"),
    "cat-4": ("#c04f6b", "#ee8fa6"),
    "cat-5": ("#138c94", "#5cc7ce"),
    "cat-6": ("#8f7a1c", "#d0bb57"),
    "cat-7": ("#6a7280", "#aab2bf"),
}
CATEGORY_COLOURS = 8
_SPARE = ("5", "6", "7")

_BY_LIGHT = {light: name for name, (light, _) in PALETTE.items()}
_HEX = re.compile("|".join(_BY_LIGHT), re.IGNORECASE)


def light(name: str) -> str:
    """The light colour `name`, as hex."""
    return PALETTE[name][0]


def arm_colour(arm: str, place: int = 0) -> str:
    """The palette name of an arm's colour: its own for a known arm, else by its `place` among all arms."""
    own = f"arm-{arm}"
    return own if own in PALETTE and arm not in _SPARE else f"arm-{_SPARE[place % len(_SPARE)]}"


def category_colour(place: int) -> str:
    """The palette name of the category at `place`; categories past the palette share the last colour."""
    return f"cat-{min(place, CATEGORY_COLOURS - 1)}"


def follow_page(svg: str) -> str:
    """`svg` with each colour of the palette as its CSS variable."""
    return _HEX.sub(lambda found: f"var(--{_BY_LIGHT[found.group().lower()]})", svg)


def css_variables() -> str:
    """The palette as CSS variables: light on paper and by default, dark if the reader prefers it."""
    lights = "".join(f"--{name}:{pair[0]};" for name, pair in PALETTE.items())
    darks = "".join(f"--{name}:{pair[1]};" for name, pair in PALETTE.items())
    return (
        f":root{{color-scheme:light dark;{lights}}}\n"
        f"@media screen and (prefers-color-scheme:dark){{:root{{{darks}}}}}\n"
    )

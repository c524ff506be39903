"""The report's colours for light and dark pages with their shapes, and how charts switch between them.

Charts are drawn in the light colours. The page replaces each by the CSS variable of its name, so an inline SVG follows
the reader's preference as the text around it does. Arms and categories have a shape, too: colour alone is lost on a
colour-blind reader and on a grey print. The hues start from the set of Okabe and Ito (2008).
"""

from __future__ import annotations

import re

from drafters.registry import KINDS

#: name -> (light, dark). Light values are unique: `follow_page` recognises a colour by them.
PALETTE: dict[str, tuple[str, str]] = {
    "page": ("#fbfaf8", "#14171b"),
    "card": ("#fefefe", "#1b1f24"),
    "ink": ("#1d2229", "#e8eaed"),
    "muted": ("#535c67", "#aab3be"),
    "line": ("#e4e6ea", "#2c3239"),
    "axis": ("#b9c0c9", "#515b66"),
    "good": ("#1b663f", "#7fd2a4"),
    "warn": ("#7a5000", "#e8be6a"),
    "bad": ("#a51d16", "#ffa49c"),
    "arm-baseline": ("#868e99", "#89929d"),
    **{f"arm-{kind.name}": kind.colour for kind in KINDS.values() if kind.colour is not None},
    "arm-5": ("#8e952b", "#dce11e"),
    "arm-6": ("#a01b7c", "#a446c4"),
    "arm-7": ("#28512a", "#976e44"),
    "part-draft": ("#1f9a8a", "#4cc2b2"),
    "part-verify": ("#4d5d7c", "#8b9cc0"),
    "part-other": ("#cdb27c", "#a9905c"),
    "cat-0": ("#0173b3", "#57b5ea"),
    "cat-1": ("#d65f01", "#f1a131"),
    "cat-2": ("#275939", "#4ff599"),
    "cat-3": ("#d44992", "#ecc6c1"),
    "cat-4": ("#b06f45", "#d8e222"),
    "cat-5": ("#484658", "#8759f5"),
    "cat-6": ("#7f84ed", "#a3f5f5"),
    "cat-7": ("#8c7c6e", "#91a3ba"),
}
CATEGORY_COLOURS = 8
_SPARE = {"5": "down", "6": "pentagon", "7": "star"}

#: name -> (matplotlib's marker, CSS clip-path of a square box).
SHAPES: dict[str, tuple[str, str]] = {
    "circle": ("o", "circle(50%)"),
    "square": ("s", "inset(4%)"),
    "triangle": ("^", "polygon(50% 0,100% 100%,0 100%)"),
    "diamond": ("D", "polygon(50% 0,100% 50%,50% 100%,0 50%)"),
    "down": ("v", "polygon(0 0,100% 0,50% 100%)"),
    "plus": (
        "P",
        "polygon(32% 0,68% 0,68% 32%,100% 32%,100% 68%,68% 68%,68% 100%,32% 100%,32% 68%,0 68%,0 32%,32% 32%)",
    ),
    "cross": (
        "X",
        "polygon(20% 0,50% 30%,80% 0,100% 20%,70% 50%,100% 80%,80% 100%,50% 70%,20% 100%,0 80%,30% 50%,0 20%)",
    ),
    "pentagon": ("p", "polygon(50% 0,100% 38%,82% 100%,18% 100%,0 38%)"),
    "star": ("*", "polygon(50% 0,62% 36%,100% 38%,70% 60%,80% 100%,50% 76%,20% 100%,30% 60%,0 38%,38% 36%)"),
}
_CATEGORY_SHAPES = ("circle", "square", "triangle", "diamond", "down", "plus", "cross", "star")
#: The shape of every coloured thing that is drawn as points or named by a swatch.
SHAPE_OF: dict[str, str] = {
    "arm-baseline": "diamond",
    **{f"arm-{kind.name}": kind.shape or "circle" for kind in KINDS.values() if kind.colour is not None},
    **{f"arm-{number}": shape for number, shape in _SPARE.items()},
    **{f"cat-{place}": shape for place, shape in enumerate(_CATEGORY_SHAPES)},
}

_BY_LIGHT = {light: name for name, (light, _) in PALETTE.items()}
_HEX = re.compile("|".join(_BY_LIGHT), re.IGNORECASE)


def light(name: str) -> str:
    """The light colour `name`, as hex."""
    return PALETTE[name][0]


def arm_colour(arm: str, place: int = 0) -> str:
    """The palette name of an arm's colour: its own for a known arm, else by its `place` among all arms."""
    own = f"arm-{arm}"
    return own if own in PALETTE and arm not in _SPARE else f"arm-{list(_SPARE)[place % len(_SPARE)]}"


def category_colour(place: int) -> str:
    """The palette name of the category at `place`; categories past the palette share the last colour."""
    return f"cat-{min(place, CATEGORY_COLOURS - 1)}"


def marker(name: str) -> str:
    """Matplotlib's marker for what has the colour `name`."""
    return SHAPES[SHAPE_OF[name]][0]


def follow_page(svg: str) -> str:
    """`svg` with each colour of the palette as its CSS variable."""
    return _HEX.sub(lambda found: f"var(--{_BY_LIGHT[found.group().lower()]})", svg)


def css_variables() -> str:
    """The palette as CSS variables: light on paper and by default, dark if the reader prefers it.

    `--NAME-shape` is the clip-path of the shape that goes with the colour NAME.
    """
    shapes = "".join(f"--{name}-shape:{SHAPES[shape][1]};" for name, shape in SHAPE_OF.items())
    lights = "".join(f"--{name}:{pair[0]};" for name, pair in PALETTE.items())
    darks = "".join(f"--{name}:{pair[1]};" for name, pair in PALETTE.items())
    return (
        f":root{{color-scheme:light dark;{lights}{shapes}}}\n"
        f"@media screen and (prefers-color-scheme:dark){{:root{{{darks}}}}}\n"
    )

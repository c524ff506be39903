"""Arms and categories differ in shape, and in colour for a colour-blind reader too; text and points can be seen."""

from __future__ import annotations

from itertools import combinations

import pytest

from drafters.registry import KINDS
from harness.report.charts.palette import (
    CATEGORY_COLOURS,
    PALETTE,
    SHAPE_OF,
    SHAPES,
    category_colour,
    css_variables,
    marker,
)
from tests.helpers.colour_vision import SIGHTS, apart, contrast

ARMS = [name for name in PALETTE if name.startswith("arm-")]
CATEGORIES = [category_colour(place) for place in range(CATEGORY_COLOURS)]
MODES = [pytest.param(0, id="light"), pytest.param(1, id="dark")]


def test_the_vision_of_the_test_itself() -> None:
    assert contrast("#ffffff", "#000000") == pytest.approx(21)
    assert apart("#ffffff", "#000000") == pytest.approx(100, abs=0.1)
    assert apart("#ff0000", "#00a000") > 100 > 4 * apart("#a33333", "#5d5d2d", "deuteranopia")


@pytest.mark.parametrize("names", [ARMS, CATEGORIES], ids=["arms", "categories"])
def test_no_two_share_a_shape(names: list[str]) -> None:
    assert len({marker(name) for name in names}) == len(names)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("sight", SIGHTS)
@pytest.mark.parametrize("names", [ARMS, CATEGORIES], ids=["arms", "categories"])
def test_no_two_colours_look_alike_to_any_eye(names: list[str], sight: str, mode: int) -> None:
    near = {pair: apart(*(PALETTE[name][mode] for name in pair), sight) for pair in combinations(names, 2)}
    assert min(near.values()) > 10, min(near, key=lambda pair: near[pair])


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("sight", SIGHTS)
def test_the_two_drafters_are_far_apart(sight: str, mode: int) -> None:
    assert apart(PALETTE["arm-mtp"][mode], PALETTE["arm-dflash"][mode], sight) > 50


@pytest.mark.parametrize("mode", MODES)
def test_points_and_text_stand_out_from_the_page(mode: int) -> None:
    for background in ("page", "card"):
        behind = PALETTE[background][mode]
        faint = [n for n in (*ARMS, *CATEGORIES) if contrast(PALETTE[n][mode], behind) < 3]
        dim = [n for n in ("ink", "muted", "good", "warn", "bad") if contrast(PALETTE[n][mode], behind) < 4.5]
        assert not faint + dim


def test_every_drafter_s_shape_is_one_of_the_report_s_and_reaches_the_page() -> None:
    assert all(kind.shape in SHAPES for kind in KINDS.values())
    style = css_variables()
    assert all(f"--{name}-shape:{SHAPES[shape][1]};" in style for name, shape in SHAPE_OF.items())

"""Wrong wirings that are planted into a shipped checkpoint's config are found and named by their key."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks.diagnose import CASES, planted
from harness.comparison.diagnosis.measure import accepted, diagnose
from tests.harness.comparison.diagnosis.conftest import Shipped

K = {"mtp": 4, "dflash": 5}


@pytest.mark.parametrize(
    ("family", "kind", "name"),
    [
        ("e2b", "dflash", "rope base 1e4"),
        ("e2b", "dflash", "embedding scaled"),
        ("e2b", "mtp", "rope base 1e6 on sliding layers"),
    ],
)
def test_a_planted_wiring_is_attributed_to_its_key(
    shipped: Callable[[str], Shipped], tmp_path: Path, family: str, kind: str, name: str
) -> None:
    pair = shipped(family)
    case = next(one for one in CASES[kind] if one.name == name)
    wrong = pair.drafter(kind, planted(Path(pair.path(kind)), tmp_path / "planted", case))
    found = diagnose(pair.target, wrong, pair.answers, K[kind], name=kind, anchors=60)
    assert found.better and found.better[0].wiring.key == case.key
    right = diagnose(pair.target, pair.drafter(kind), pair.answers, K[kind], name=kind, anchors=60)
    assert accepted(found.better[0].anchors).value == accepted(right.sampled).value
    assert not right.better

"""Packed weights keep their numbers, are shared while they live, and lie beside each other."""

from __future__ import annotations

from weakref import WeakValueDictionary

import pytest
import torch
from torch import Tensor

from harness.decoding.compiled import kernels, package, packing

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(kernels.compiler() is None, reason="needs a C++ compiler"),
]


def columns(whole: Tensor, rows: int, size: int) -> Tensor:
    """The first `rows` rows [rows, size] of a packed tensor, read panel by panel."""
    panel = int(kernels.load(package.processor()).drafthouse_panel())
    count = -(-rows // panel)
    return whole[: count * size * panel].view(count, size, panel).transpose(1, 2).reshape(-1, size)[:rows]


@pytest.mark.parametrize("rows", [1, 31, 64, 100])
def test_rows_of_several_weights_follow_each_other(rows: int) -> None:
    first, second = torch.randn(rows, 24), torch.randn(9, 24)
    whole = packing.packed([first, second], gated=False)
    assert torch.equal(columns(whole, rows + 9, 24), torch.cat((first, second)))


def test_a_gated_panel_holds_half_of_either() -> None:
    panel = int(kernels.load(package.processor()).drafthouse_panel())
    gate, up = torch.randn(panel, 8), torch.randn(panel, 8)
    found = columns(packing.packed([gate, up], gated=True), 2 * panel, 8)
    half = panel // 2
    assert torch.equal(found, torch.cat((gate[:half], up[:half], gate[half:], up[half:])))


def test_programs_share_a_copy_and_copies_share_a_block() -> None:
    weights = [torch.randn(40, 64) for _ in range(3)]
    copies = [packing.packed([weight], gated=False) for weight in weights]
    assert packing.packed([weights[0]], gated=False) is copies[0]
    places = [copy.data_ptr() for copy in copies]
    assert max(places) - min(places) < packing.BLOCK and all(place % 64 == 0 for place in places)


def test_a_block_goes_with_its_last_copy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packing, "_packed", WeakValueDictionary())
    monkeypatch.setattr(packing, "_block", None)
    weight, other = torch.randn(8, 16), torch.randn(8, 16)
    copy = packing.packed([weight], gated=False)
    first = packing._block
    kept = packing.packed([other], gated=False)
    assert first is not None and packing._block is not None and packing._block[0] is first[0]
    del copy, kept
    packing.packed([weight], gated=False)
    assert packing._block[0] is not first[0]


@pytest.mark.parametrize("has_pages", [True, False])
def test_a_system_without_large_pages_packs_the_same(has_pages: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not has_pages:
        monkeypatch.delattr("mmap.MADV_HUGEPAGE", raising=False)
    weight = torch.randn(33, 16)
    assert torch.equal(columns(packing.packed([weight], gated=False), 33, 16), weight)

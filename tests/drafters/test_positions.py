"""Slots, positions and who sees what: a visible slot always holds the row that its position says."""

from __future__ import annotations

import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from torch._inductor.utils import run_and_get_code

from drafters.positions import additive, positions_of_slots, slots_of, visible, write_rows


@given(newest=st.integers(0, 300), size=st.integers(1, 40))
def test_a_ring_holds_the_latest_positions_each_in_its_own_slot(newest: int, size: int) -> None:
    stored = positions_of_slots(torch.tensor([newest]), size, ring=True)  # [1, size]
    assert sorted(stored[0].tolist()) == list(range(newest - size + 1, newest + 1))
    held = stored[stored >= 0][None]
    assert torch.equal(slots_of(held, size, ring=True)[0], torch.arange(size)[stored[0] >= 0])


@given(newest=st.integers(0, 300), size=st.integers(1, 40))
def test_a_full_buffer_keeps_each_position_at_its_own_slot(newest: int, size: int) -> None:
    stored = positions_of_slots(torch.tensor([newest]), size, ring=False)
    assert stored[0].tolist() == list(range(size))
    assert torch.equal(slots_of(stored, size, ring=False), stored)
    assert slots_of(torch.tensor([[size, 3 * size]]), size, ring=False).tolist() == [[size, 3 * size]]


@given(
    query=st.integers(0, 60),
    width=st.integers(1, 6),
    size=st.integers(1, 70),
    window=st.one_of(st.none(), st.integers(1, 20)),
    bidirectional=st.booleans(),
)
@example(query=4, width=6, size=20, window=3, bidirectional=True)
def test_visible_is_its_definition(query: int, width: int, size: int, window: int | None, bidirectional: bool) -> None:
    queries = torch.arange(query, query + width)[None]
    stored = torch.arange(-3, size - 3)[None]
    horizon = queries[:, -1] if bidirectional else None
    mask = visible(queries, stored, horizon=horizon, window=window).expand(1, 1, width, size)
    for i, q in enumerate(queries[0].tolist()):
        for j, s in enumerate(stored[0].tolist()):
            limit = int(queries[0, -1]) if bidirectional else q
            near = window is None or abs(q - s) < window
            assert bool(mask[0, 0, i, j]) == (0 <= s <= limit and near)


def test_each_batch_row_looks_from_its_own_positions_up_to_its_own_horizon() -> None:
    queries, stored = torch.tensor([[1, 2], [3, 4]]), torch.arange(5)[None]
    causal = visible(queries, stored)
    assert causal.shape == (2, 1, 2, 5)
    assert causal.sum(dim=-1).tolist() == [[[2, 3]], [[4, 5]]]
    horizon = torch.tensor([3, 1])
    assert visible(queries, stored, horizon=horizon).sum(dim=-1).tolist() == [[[4]], [[2]]]
    assert visible(queries, stored, horizon=horizon, window=2).sum(dim=-1).tolist() == [[[3, 3]], [[0, 0]]]
    own_rows = torch.stack((stored[0], stored[0] - 2))
    assert visible(queries, own_rows).sum(dim=-1).tolist() == [[[2, 3]], [[3, 3]]]


def violations(size: int, window: int, width: int, kept: list[int]) -> int:
    """Decode rounds of `width` rows into a ring, keeping `kept` of each; count the queries that do not see exactly
    the rows of their window."""
    content = torch.full((size,), -1)
    position, wrong = 0, 0
    for keep in kept:
        rows = torch.arange(position, position + width)
        content[slots_of(rows[None], size, ring=True)[0]] = rows
        stored = positions_of_slots(rows[-1:], size, ring=True)
        mask = visible(rows[None], stored, window=window)[0, 0]  # [width, size]
        for query, row in zip(rows.tolist(), mask, strict=True):
            wrong += sorted(content[row].tolist()) != list(range(max(0, query - window + 1), query + 1))
        position += keep
    return wrong


@given(window=st.integers(1, 12), width=st.integers(1, 8), data=st.data())
def test_each_query_sees_exactly_its_window_whatever_was_rejected(window: int, width: int, data: st.DataObject) -> None:
    kept = data.draw(st.lists(st.integers(1, width), max_size=30))
    assert violations(window + width, window, width, kept) == 0


def test_a_ring_too_small_for_window_and_pass_is_caught() -> None:
    """The newest rows, rejected or not, have then taken the place of what the first queries still need."""
    assert violations(8 + 5 - 2, 8, 5, [1] * 20) > 0


def test_the_additive_mask_is_zero_where_visible_and_lowest_elsewhere() -> None:
    for dtype in (torch.float32, torch.bfloat16, torch.float16):
        mask = additive(torch.tensor([True, False]), dtype)
        assert mask.dtype == dtype
        assert mask.tolist() == [0.0, torch.finfo(dtype).min]


def test_nothing_lands_on_another_device_than_its_tensors() -> None:
    """The default device is another one here, so that a tensor made without a device would show."""
    newest, rows, slots = torch.tensor([4]), torch.ones(2, 1, 3, 2), torch.tensor([[0, 1, 2], [1, 2, 3]])
    stored, mask = torch.zeros(2, 1, 5, 2), torch.tensor([True])
    with torch.device("meta"):
        assert positions_of_slots(newest, 3, ring=True).tolist() == [[3, 4, 2]]
        assert additive(mask, torch.float32).tolist() == [0.0]
        write_rows(stored, rows, slots)
    assert stored[:, 0, :, 0].tolist() == [[1, 1, 1, 0, 0], [0, 1, 1, 1, 0]]


@pytest.mark.parametrize("batch", [1, 2, 3])
class TestWritingRows:
    def case(self, batch: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        slots = torch.tensor([[7, 8, 9], [99, 100, 0], [0, 1, 2]])[:batch]
        return torch.randn(batch, 2, 101, 8), torch.randn(batch, 2, 3, 8), slots

    def test_each_row_at_its_own_slots_and_nothing_else(self, batch: int) -> None:
        stored, rows, slots = self.case(batch)
        wanted = stored.clone()
        for row in range(batch):
            wanted[row, :, slots[row]] = rows[row]
        write_rows(stored, rows, slots)
        assert torch.equal(stored, wanted)

    @torch.inference_mode()
    def test_compiled_it_does_not_walk_over_all_that_is_stored(self, batch: int) -> None:
        def scattered(stored: torch.Tensor, rows: torch.Tensor, slots: torch.Tensor) -> None:
            stored.scatter_(2, slots[:, None, :, None].expand_as(rows), rows)

        stored, rows, slots = self.case(batch)
        walk = f"static_cast<int64_t>({stored.numel()}L)"  # the end of a loop over every element
        for write, walks in ((write_rows, False), (scattered, True)):
            _, (code,) = run_and_get_code(torch.compile(write, fullgraph=True), stored, rows, slots)
            assert (walk in code) == walks

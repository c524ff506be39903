"""The DFlash recipe trains the drafter in exactly the situation that it drafts in."""

from __future__ import annotations

import pytest
import torch

from harness.training.data import Sequence, collate
from harness.training.dflash import DFlashShape, block_masks, build_dflash, dflash_config, draw_anchors, spread_taps
from harness.training.fused import fused
from tests.helpers.tiny_teacher import teacher

SHAPE = DFlashShape(intermediate_size=48, head_dim=8, sliding_window=7, block_size=6, taps=(0, 2), anchors=3)


def test_folded_blocks_give_what_one_block_alone_gives() -> None:
    target = teacher()
    config = dflash_config(target.config, SHAPE, 4)
    model = build_dflash(config, target, 0).eval()
    batch = collate([Sequence(torch.randint(5, 320, (32,)).tolist(), [True] * 32)])
    with torch.no_grad(), fused(target.config):
        seen = target.observe(batch, config.target_layer_ids)
    anchors, lengths = torch.tensor([[3, 12, 20]]), torch.tensor([[6, 4, 6]])
    slots = torch.arange(6)
    positions = (anchors[..., None] + slots).view(1, -1)
    x = torch.randn(1, 18, 32)
    where = torch.arange(32)[None]
    with torch.no_grad():
        context = model.context_features(seen.taps)
        kv = [model.project_context(i, context, where) for i in range(2)]
        folded = model.forward_block(x, positions, kv, block_masks(config, anchors, lengths, 32))
        for block, (anchor, length) in enumerate(zip(anchors[0].tolist(), lengths[0].tolist(), strict=True)):
            here = slice(block * 6, block * 6 + length)
            q, s = positions[:, here, None], torch.arange(anchor)
            own = positions[:, None, here]
            masks = {
                "full_attention": torch.ones(1, 1, length, anchor + length, dtype=torch.bool),
                "sliding_attention": torch.cat((q - s < 7, (own <= q) & (q - own < 7)), dim=-1)[:, None],
            }
            cut = [(k[:, :, :anchor], v[:, :, :anchor]) for k, v in kv]
            alone = model.forward_block(x[:, here], positions[:, here], cut, masks)
            torch.testing.assert_close(folded[:, here], alone, rtol=1e-4, atol=1e-4)


def test_anchors_stand_before_spoken_tokens_and_never_at_the_start() -> None:
    spoken = torch.zeros(1, 12, dtype=torch.bool)
    spoken[0, 6:9] = True
    anchors, real = draw_anchors(spoken, 5)
    assert set(anchors[real].tolist()) == {5, 6, 7}


@pytest.mark.parametrize(
    ("layers", "ids"), [(30, (1, 6, 11, 17, 22, 27)), (60, (1, 12, 23, 35, 46, 57)), (48, (1, 10, 19, 27, 36, 45))]
)
def test_taps_follow_the_published_checkpoints(layers: int, ids: tuple[int, ...]) -> None:
    assert spread_taps(layers, 6) == ids


def test_a_tap_on_the_last_layer_is_refused() -> None:
    with pytest.raises(ValueError, match=r"dflash.taps"):
        dflash_config(teacher().config, DFlashShape(taps=(1, 4)), 4)

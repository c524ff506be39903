"""Tiny models for the recipes' tests: every part of the real shapes, seconds to train."""

from __future__ import annotations

import torch

from harness.training.target import TargetShape, build_target
from harness.training.teacher import Teacher

SHAPE = TargetShape(
    vocab_size=320, hidden_size=32, intermediate_size=48, pattern="SSFSF", heads=4, kv_heads=2, global_kv_heads=2,
    head_dim=8, global_head_dim=16, sliding_window=6, max_positions=1024,
)  # fmt: skip


def teacher(**changes: object) -> Teacher:
    """A random target whose logits are far from flat."""
    shape = TargetShape(**{**{f: getattr(SHAPE, f) for f in SHAPE.__dataclass_fields__}, **changes})
    model = build_target(shape, 0)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 2:
                parameter.mul_(4)
    return Teacher(model)

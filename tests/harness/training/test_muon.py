"""Muon: singular values near one, in the precision of the run, and the same step as torch's own."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from harness.training.muon import Muon, orthogonal
from harness.training.settings import LoopSettings


@pytest.mark.parametrize("shape", [(12, 40), (40, 12), (16, 16)])
def test_singular_values_come_near_one_and_the_vectors_stay(shape: tuple[int, int]) -> None:
    matrices = torch.randn(3, *shape, generator=torch.Generator().manual_seed(0))
    for before, after in zip(matrices, orthogonal(matrices), strict=True):
        left, _, right = torch.linalg.svd(before, full_matrices=False)
        core = left.T @ after @ right.T
        values = core.diagonal()
        assert values.min() > 0.5 and values.max() < 1.3
        assert (core - values.diag()).abs().max() < 1e-3


def test_a_step_is_that_of_torch_up_to_its_bf16() -> None:
    torch.manual_seed(0)
    start, gradients = torch.randn(24, 48), [torch.randn(24, 48) for _ in range(4)]
    moved = []
    for build in (
        lambda p: Muon([p], lr=0.01, weight_decay=0.1),
        lambda p: torch.optim.Muon([p], lr=0.01, weight_decay=0.1, adjust_lr_fn="match_rms_adamw"),
    ):
        parameter = nn.Parameter(start.clone())
        optimizer = build(parameter)
        for gradient in gradients:
            parameter.grad = gradient.clone()
            optimizer.step()
        moved.append(parameter.detach() - start)
    assert (moved[0] - moved[1]).norm() / moved[1].norm() < 0.02


@pytest.mark.parametrize(
    ("abilities", "device", "wanted"),
    [({}, "cpu", "fp32"), ({"avx512_bf16": True}, "cpu", "bf16"), ({"amx_bf16": True}, "cpu", "bf16"),
     ({}, "cuda", "bf16")],
)  # fmt: skip
def test_bf16_is_chosen_if_the_device_has_units_for_it(
    abilities: dict[str, bool], device: str, wanted: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: abilities)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: device == "cuda")
    assert LoopSettings(device=device).chosen_precision() == wanted
    assert LoopSettings(device=device, precision="bf16").chosen_precision() == "bf16"

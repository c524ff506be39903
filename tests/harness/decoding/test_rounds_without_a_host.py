"""No round waits for the host, with any structure or drafter: checked on a device without values, on any machine."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from drafters.base import Sampling
from harness import load_drafter, load_target
from harness.decoding.decoder import Decoder, DecodeSettings
from harness.target.random_weights import drafter_network, target_network
from harness.target.shapes import SERVER, assistant, text, zlab
from harness.target.target import Target
from tests.helpers import tiny_models as tiny
from tests.helpers.meta_device import DEVICE, OneDevice

K = 4
WAYS = {
    "greedy": DecodeSettings(K),
    "rejection": DecodeSettings(K, sampling=Sampling(temperature=0.9, top_k=10, top_p=0.9)),
    "match": DecodeSettings(K, sampling=Sampling(temperature=0.9), verification="match"),
    "synthetic": DecodeSettings(K, synthetic_acceptance=(0.8, 0.5)),
}
NETWORKS: dict[str, Any] = {
    "mtp": tiny.assistant_model,
    "mtp, ordered head": lambda model: tiny.assistant_model(model, ordered=True),
    "dflash": tiny.dflash_model,
    "lookup": lambda model: None,
    "random": lambda model: None,
}


def rounds(
    target: Target, drafter: Any, settings: DecodeSettings, batch: int, capacity: int = 64
) -> tuple[set[Any], int]:
    """The shapes that two rounds report, and how many operations they are."""
    decoder = Decoder(target, drafter, settings, batch, capacity)
    programs = decoder.set_reach(capacity)
    shapes = set()
    with torch.inference_mode(), OneDevice() as seen_by:
        for _ in range(2):
            proposal = programs.propose()
            seen, accepted, report = programs.verify(proposal)
            programs.observe(seen, accepted)
            shapes.add(tuple(tuple(t.shape) for t in (proposal.tokens, seen.tokens, seen.hidden, report)))
    return shapes, seen_by.operations


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", [None, *NETWORKS])
@pytest.mark.parametrize("structure", tiny.EVERY_STRUCTURE)
def test_a_round_needs_no_value_and_no_other_device(structure: str, name: str | None, way: str) -> None:
    model = tiny.target_model(structure).to(torch.bfloat16)  # grouped experts exist in bf16 alone, as on CUDA
    network = NETWORKS[name](model) if name else None
    target = load_target(model.to(DEVICE), execution="eager")
    network = network if network is None else network.to(DEVICE, torch.bfloat16)
    drafter = None if name is None else load_drafter(name.split(",")[0], network, target=target)
    batch, k = 1 + 2 * (way == "greedy"), 0 if drafter is None else K
    shapes, operations = rounds(target, drafter, WAYS[way], batch)
    assert shapes == {((batch, k), (batch, k + 1), (batch, k + 1, 32), (batch, 2 + (k + 1) + k))}
    assert operations > 100


def test_experts_that_a_graph_can_hold_need_no_value_in_fp32_either(monkeypatch: pytest.MonkeyPatch) -> None:
    target = load_target(tiny.target_model("experts").to(DEVICE), execution="eager")
    monkeypatch.setattr("harness.target.target.choose_execution", lambda *_: "cuda_graph")
    target.set_execution("cuda_graph")
    target.execution = "eager"
    assert rounds(target, None, DecodeSettings(), 2)[1] > 100


@pytest.mark.parametrize("size", SERVER)
def test_rounds_of_the_published_sizes_fit_together(size: str) -> None:
    """The rounds of benchmarks/gpu.sh: real shapes in bf16, 512 tokens of context, rows of a batch."""
    batch = 16
    target = Target(target_network(text(size)).to(torch.bfloat16), "eager")
    for name, raw, k in (("mtp", assistant(size), 8), ("dflash", zlab(size), 15)):
        drafter = load_drafter(name, drafter_network(raw).to(torch.bfloat16), target=target)
        shapes, _ = rounds(target, drafter, DecodeSettings(k, synthetic_acceptance=(0.8,)), batch, 1024)
        assert shapes == {
            ((batch, k), (batch, k + 1), (batch, k + 1, target.config.hidden_size), (batch, 2 + (k + 1) + k))
        }


class TestTheDeviceItself:
    """The tests above would notice."""

    @pytest.mark.parametrize("wait", [lambda x: x.sum().item(), lambda x: x.tolist(), lambda x: bool((x > 0).all()),
                                      lambda x: x.nonzero()])  # fmt: skip
    def test_a_value_on_the_host_is_refused(self, wait: Any) -> None:
        with OneDevice(), pytest.raises((RuntimeError, NotImplementedError)):
            wait(torch.ones(3, device=DEVICE))

    @pytest.mark.parametrize("move", [lambda x: x + torch.ones(3), lambda x: x.to("cpu")])
    def test_another_device_is_refused(self, move: Any) -> None:
        x = torch.ones(3, device=DEVICE)
        with OneDevice(), pytest.raises((AssertionError, RuntimeError, NotImplementedError)):
            move(x)

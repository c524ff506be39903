"""Small weights are part of the CPU programs that read them, laid out for the product of their width."""

from __future__ import annotations

import importlib

import pytest
import torch

from harness.decoding.compiled import inductor_private
from harness.decoding.frozen import FROZEN_UP_TO, WIDE, frozen_weights
from harness.decoding.programs import compiled

FUSION = "torch._inductor.fx_passes.mkldnn_fusion"  # imported by the tests: it takes seconds

WRITTEN = "cpp_templated_kernel_counter"  # products that the compiler wrote itself


def products(count: int, rows: int, count_bytes: int, dtype: torch.dtype = torch.float32) -> tuple[bool, int]:
    """Whether a program of `count` layers of one input keeps its weights after they changed; products it wrote."""
    torch._dynamo.utils.counters.clear()
    layers = [torch.nn.Linear(64, 48, bias=False, dtype=dtype) for _ in range(count)]
    x = torch.randn(rows, 64, dtype=dtype)
    with torch.inference_mode(), frozen_weights(count_bytes):
        wanted = [layer(x) for layer in layers]
        run = compiled(lambda x: [layer(x) for layer in layers])
        torch.testing.assert_close(run(x), wanted)
        for layer in layers:
            layer.weight.zero_()
        kept = [bool(found.any()) for found in run(x)]
        if all(kept):
            torch.testing.assert_close(run(x), wanted)
    assert len(set(kept)) == 1
    return kept[0], torch._dynamo.utils.counters["inductor"][WRITTEN]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("count_bytes", "capabilities", "frozen"),
    [(FROZEN_UP_TO, None, True), (FROZEN_UP_TO + 1, None, False), (1, {"l1d_cache_size": 0}, False)],
)
def test_small_weights_are_part_of_a_program_where_the_caches_are_known(
    count_bytes: int, capabilities: dict[str, int] | None, frozen: bool, monkeypatch: pytest.MonkeyPatch
):
    if capabilities is not None:
        monkeypatch.setattr("torch.cpu.get_capabilities", lambda: capabilities)
    assert products(1, 3, count_bytes) == (frozen, int(frozen))


@pytest.mark.slow
@pytest.mark.parametrize(("rows", "written"), [(WIDE - 1, 1), (WIDE, 0)])
def test_wide_products_are_onednns_and_layers_of_one_input_are_one(rows: int, written: int):
    assert products(2, rows, 1) == (True, written)


def test_a_torch_without_the_hook_is_left_as_it_is(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture):
    mkldnn_fusion = importlib.import_module(FUSION)
    inductor_private.warn_of_missing.cache_clear()
    with monkeypatch.context() as lacking:
        lacking.delattr(mkldnn_fusion, "CpuMkldnnDeviceOp")
        for _ in range(2):
            with frozen_weights(1):
                assert not hasattr(mkldnn_fusion, "CpuMkldnnDeviceOp")
    ours = [record for record in caplog.records if record.name.startswith("harness")]
    assert [record.message.split(": ")[-1] for record in ours] == ["wide CPU products are compiled like narrow ones"]


def test_a_torch_that_cannot_skip_guards_checks_them_and_says_so(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    assert inductor_private.unguarded()
    inductor_private.warn_of_missing.cache_clear()
    monkeypatch.delattr(torch.compiler, "skip_all_guards_unsafe")
    assert inductor_private.unguarded() == {}
    assert "check their guards in every call" in caplog.text


def test_what_the_compiler_does_is_put_back_as_it_was():
    mkldnn_fusion = importlib.import_module(FUSION)
    before = mkldnn_fusion.CpuMkldnnDeviceOp
    with pytest.raises(ZeroDivisionError), frozen_weights(1):
        assert mkldnn_fusion.CpuMkldnnDeviceOp is not before
        1 / 0  # noqa: B018
    assert mkldnn_fusion.CpuMkldnnDeviceOp is before
    assert not torch._inductor.config.freezing

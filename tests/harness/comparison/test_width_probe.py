"""The width probe: narrow and wide passes over the same prefix, and a difference between them is seen."""

from __future__ import annotations

import pytest
import torch

from harness import load_target
from harness.comparison.width_probe import logits_of_tail, probe_widths
from harness.target.cache import LayerPass
from tests.helpers import tiny_models as tiny


def test_in_fp32_a_wide_pass_says_what_single_tokens_say():
    target = load_target(tiny.target_model("kv_shared"))
    probes = probe_widths(target, tiny.prompt(40), [1, 5, 16])
    assert list(probes) == ["5", "16"]
    assert all(probe["argmax_equal"] for probe in probes.values())
    assert all(probe["max_abs_difference"] < 1e-3 for probe in probes.values())


def test_a_wide_pass_that_loses_its_context_is_seen(monkeypatch: pytest.MonkeyPatch):
    target = load_target(tiny.target_model())
    tokens = tiny.prompt(40)
    wanted = logits_of_tail(target, tokens, 6, 1)
    update = LayerPass.update

    def forgetful(self, keys, values, layer_idx, *args, **kwargs):
        keys, values = update(self, keys, values, layer_idx, *args, **kwargs)
        return (torch.zeros_like(keys), values) if self.positions.shape[1] == 6 else (keys, values)

    monkeypatch.setattr(LayerPass, "update", forgetful)
    assert not torch.allclose(logits_of_tail(target, tokens, 6, 6), wanted, atol=1e-2)
    assert probe_widths(target, tokens, [6])["6"]["max_abs_difference"] > 1e-2

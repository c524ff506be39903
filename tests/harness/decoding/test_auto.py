"""`execution=auto` compiles where the host would take the time, where that is worth it and a compiler is at hand."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from harness.decoding import auto

LONG = 10_000  # generations


def chosen(
    monkeypatch: pytest.MonkeyPatch, *, execution: str = "auto", device: str = "cpu", floor_s: float = 1e-4,
    spread: bool = False, generations: int = LONG, compiler: str | None = "g++",
) -> tuple[str, str | None]:  # fmt: skip
    """The execution, and the code of the doubt beside it."""
    config: Any = SimpleNamespace(execution=execution, repeats=1, max_new_tokens=128)
    placement = SimpleNamespace(is_spread=spread)
    target: Any = SimpleNamespace(
        device=torch.device(device), dtype=torch.float32, placement=placement, layer_types=("full_attention",) * 9
    )
    monkeypatch.setattr(auto, "one_row_floor_s", lambda *_: floor_s)
    monkeypatch.setattr("harness.decoding.compiled.kernels.compiler", lambda: compiler)
    name, doubt = auto.execution_of(config, {}, target, generations)
    return name, None if doubt is None else doubt.code


def test_a_small_model_is_compiled_for_a_long_run(monkeypatch: pytest.MonkeyPatch) -> None:
    assert chosen(monkeypatch) == ("compile", None)


@pytest.mark.parametrize("why", [{"floor_s": 0.1}, {"generations": 3}])
def test_a_large_model_and_a_short_run_stay_eager(why: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    assert chosen(monkeypatch, **why) == ("eager", None)


def test_without_a_compiler_the_run_is_eager_and_says_what_that_means(monkeypatch: pytest.MonkeyPatch) -> None:
    assert chosen(monkeypatch, compiler=None) == ("eager", "no_compiler")


@pytest.mark.parametrize(
    "other", [{"execution": "eager"}, {"execution": "compile"}, {"device": "cuda"}, {"spread": True}]
)
def test_what_was_asked_for_and_other_devices_are_left_alone(
    other: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert chosen(monkeypatch, **other) == (other.get("execution", "auto"), None)


def test_passes_that_run_otherwise_than_those_beside_them_are_one_doubt_each() -> None:
    assert auto.unlike_passes({}) == []
    failures = {"mtp propose": "no such operation", "mtp observe": "it reads results"}
    eager, apart = auto.unlike_passes(failures, ["dflash verify", "dflash verify"])
    assert "mtp propose (no such operation)" in eager.message and eager.severity == "warning"
    assert apart.message.endswith(": dflash verify") and (apart.code, apart.severity) == ("not_joined", "info")

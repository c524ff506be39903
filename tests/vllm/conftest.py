"""Tests against vLLM itself run on demand: `make test-vllm` makes its environment first."""

from __future__ import annotations

import pytest

from drafters.errors import InputError
from harness.config import EngineConfig


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if "vllm" in (config.option.markexpr or ""):
        return
    for item in items:
        if item.get_closest_marker("vllm") is not None:
            item.add_marker(pytest.mark.skip(reason="needs vLLM: make test-vllm"))


@pytest.fixture(scope="session")
def python() -> str:
    """The interpreter that has vLLM."""
    try:
        return EngineConfig(name="vllm").interpreter()
    except InputError as error:
        pytest.fail(str(error))

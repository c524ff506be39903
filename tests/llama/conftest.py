"""Tests against llama.cpp itself run on demand: `make test-llama` makes their environment first."""

from __future__ import annotations

import pytest

from drafters.errors import InputError
from harness.config.engine import EngineConfig
from harness.vocabulary import LLAMA_CPP


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if "llama" in (config.option.markexpr or "") and is_there():
        return
    for item in items:
        if item.get_closest_marker("llama") is not None:
            item.add_marker(pytest.mark.skip(reason="needs llama.cpp: make test-llama"))


def is_there() -> bool:
    try:
        EngineConfig(name=LLAMA_CPP).interpreter()
    except InputError:
        return False
    return True


@pytest.fixture(autouse=True)
def blank_charts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reports without pictures: drawing is half of a short run's time."""
    monkeypatch.setattr("harness.report.page.build.draw", lambda *_: {})

"""Tests against llama.cpp itself run on demand: `make test-llama` makes their environment first."""

from __future__ import annotations

import importlib.util

import pytest


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if "llama" in (config.option.markexpr or "") and importlib.util.find_spec("xllamacpp"):
        return
    for item in items:
        if item.get_closest_marker("llama") is not None:
            item.add_marker(pytest.mark.skip(reason="needs llama.cpp: make test-llama"))

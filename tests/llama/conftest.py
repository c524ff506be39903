"""Tests against llama.cpp itself run on demand: `make test-llama` makes their environment first."""

from __future__ import annotations

import os

import pytest
from filelock import FileLock

from benchmarks.conformance.llama_cpp_pair import PROMPTS, both_engines
from drafters.errors import InputError
from harness.config import RunConfig
from harness.config.engine import EngineConfig
from harness.run import Outcome, run
from harness.vocabulary import LLAMA_CPP

NEW_TOKENS = 20  # of both engines' run; the benchmark decodes 128


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


@pytest.fixture(scope="session")
def decoded(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[RunConfig, Outcome]:
    """The run of a family in both engines: the first process that asks decodes it, another waits and finds it whole."""
    own = tmp_path_factory.getbasetemp()
    shared = own.parent if "PYTEST_XDIST_WORKER" in os.environ else own
    config = both_engines(request.param, PROMPTS[request.param], NEW_TOKENS)
    with FileLock(shared / f"{request.param}.lock"):
        return config, run(config, shared / request.param)


@pytest.fixture(autouse=True)
def blank_charts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reports without pictures: drawing is half of a short run's time."""
    monkeypatch.setattr("harness.report.page.build.draw", lambda *_: {})

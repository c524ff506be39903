"""Settings of the whole suite: one thread, reproducible examples, no progress bars, quick collections."""

from __future__ import annotations

import gc
import importlib
import os
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from hypothesis import Phase, is_hypothesis_test, settings

from tests.helpers.packages import Install

os.environ.setdefault("OMP_NUM_THREADS", "1")  # so that no run probes for the fastest count
# Compiled programs are small and run for milliseconds: their host code is not optimised, and vector instructions are
# not tried out first.
os.environ.setdefault("AOT_INDUCTOR_COMPILE_WRAPPER_OPT_LEVEL", "O0")
os.environ.setdefault("TORCHINDUCTOR_VEC_ISA_OK", "1")
settings.register_profile("suite", deadline=None, derandomize=True, max_examples=60)
# A mutant is killed by the first example that fails: no time goes into a smaller one.
settings.register_profile("mutations", settings.get_profile("suite"), phases=[Phase.explicit, Phase.generate])
settings.load_profile("suite")

# Rates of this machine and programs made on it are found by the whole suite, and by nobody else: pytest-xdist's first
# process makes the folder, and those that it starts inherit it.
if "PYTEST_XDIST_WORKER" not in os.environ:
    _cache = tempfile.TemporaryDirectory(prefix="drafthouse-tests-")
    os.environ["DRAFTHOUSE_CACHE"] = _cache.name


def pytest_collection() -> None:
    """Not where this file is imported: pytest-xdist's first process collects nothing and needs no torch."""
    import torch
    from transformers.utils import logging

    # Tiny matrices are slower on several threads, and a reproducible suite cannot depend on how many there are.
    torch.set_num_threads(1)
    logging.disable_progress_bar()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """The slow tests first: one that is left for the end runs alone. Mutants meet the quick tests first: one kills."""
    if config.getoption("--hypothesis-profile") == "mutations":
        items.sort(key=lambda item: is_hypothesis_test(getattr(item, "obj", None)))
    else:
        items.sort(key=lambda item: item.get_closest_marker("slow") is None)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Every run collects garbage a few times; what the libraries hold never is any, and to look at it takes 0.3 s."""
    if "harness.run" in sys.modules or any("command" in getattr(item, "fixturenames", ()) for item in session.items):
        from tests.helpers.libraries import read_libraries
        from tests.helpers.quick_measurements import measure_quickly

        read_libraries()
        measure_quickly()
    gc.collect()
    gc.freeze()


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Installs a package: its modules by path, its entry points and its metadata. All is forgotten afterwards."""
    from drafters import registry
    from tests.helpers.packages import write_dist_info, write_modules

    monkeypatch.setattr(registry, "_plugged", {})
    before = set(sys.modules)
    site = tmp_path / "site-packages"
    site.mkdir()
    monkeypatch.syspath_prepend(str(site))

    def add(package: str, modules: Mapping[str, str], offered: Mapping[str, str] | None = None, **about: str) -> Path:
        write_modules(site, modules)
        write_dist_info(site, package, offered or {}, **about)
        importlib.invalidate_caches()
        return site

    yield add
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", None) or "").startswith(str(tmp_path)):
            del sys.modules[name]

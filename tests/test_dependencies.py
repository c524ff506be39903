"""pyproject.toml declares what the code imports, and nothing else."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
OURS = {"benchmarks", "conf", "drafters", "harness", "hydra_plugins", "tests", "tools"}
#: Imported where they happen to be installed: torch brings triton, and vLLM has an environment of its own.
OPTIONAL = {"triton", "vllm"}


def normalised(name: str) -> str:
    """A distribution's name as indexes compare it: `huggingface-hub` for `huggingface_hub`."""
    return re.sub(r"[-_.]+", "-", name).lower()


def declared(requirements: list[str]) -> set[str]:
    return {normalised(match[0]) for one in requirements if (match := re.match(r"[\w.-]+", one))}


def imported(folders: tuple[str, ...]) -> set[str]:
    """First names of everything that the Python files below `folders` import, but the standard library's and ours."""
    found = set()
    for path in (path for folder in folders for path in (ROOT / folder).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                found |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                found.add(node.module.partition(".")[0])
    return found - set(sys.stdlib_module_names) - OURS - OPTIONAL


#: Distributions by the module that they bring under another name, for environments that lack them.
NAMED = {"pynvml": "nvidia-ml-py"}


def distributions(names: set[str]) -> dict[str, set[str]]:
    """Each imported name with the distributions that provide it."""
    providers = packages_distributions()
    return {name: {normalised(one) for one in providers.get(name, [NAMED.get(name, name)])} for name in names}


PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
RUNTIME = declared(PROJECT["dependencies"])
EXTRAS = {name: declared(requirements) for name, requirements in PROJECT["optional-dependencies"].items()}


def test_the_package_imports_what_it_declares() -> None:
    used = distributions(imported(("drafters", "harness", "hydra_plugins")))
    known = RUNTIME.union(*(EXTRAS[name] for name in ("math", "llama", "workspaces", "search")))
    undeclared = {name for name, provided in used.items() if not provided & known}
    assert not undeclared, f"imported and not in pyproject.toml: {sorted(undeclared)}"
    unused = RUNTIME - set().union(*used.values())
    assert not unused, f"in pyproject.toml and never imported: {sorted(unused)}"


def test_tests_and_benchmarks_import_what_the_extras_declare() -> None:
    used = distributions(imported(("tests", "benchmarks", "tools")) - {"dflash"})  # the Makefile installs dflash
    known = RUNTIME.union(*EXTRAS.values())
    assert not {name for name, provided in used.items() if not provided & known}

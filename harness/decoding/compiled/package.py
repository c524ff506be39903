"""A compiled program on disk: found again by any later process whose key is the same, and checked before it is used.

The key is a hash of everything that decides the program: the state's description (`compiled/state.py`), the arguments'
shapes, the code of this repository, torch, transformers and the processor. Weights are no part of it, since no
program holds any; a drafter's or a target's other weights of the same shapes run through the same program.
"""

from __future__ import annotations

import functools
import hashlib
import json
import logging
import os
import pickle
import platform
import shutil
import tempfile
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from harness.decoding.compiled import graphs
from harness.decoding.compiled.capture import Capture, Shape
from harness.records.cache import cache_dir
from harness.records.files import sha256_of
from harness.vocabulary import PACKAGE

log = logging.getLogger(__name__)

MANIFEST, PROGRAM, LITERALS, GRAPH = "package.json", "program.so", "literals.pt", "graph.pt"
TABLE = "program.json"  # operations that the library looks up by name
#: The folders whose code can change what a program computes or how it is made.
CODE = (PACKAGE / "decoding", PACKAGE / "target", PACKAGE.parent / "drafters")


@dataclass(frozen=True)
class Package:
    """A program's library and what it takes and gives (`harness.decoding.compiled.capture.Capture`).

    Without a library it stays the function that it is: a handful of operations is not worth a compiler's seconds.
    `apart` says why its steps are not joined into calls of one kernel, None where they are.
    """

    library: Path | None
    names: dict[str, Any]
    literals: dict[str, Tensor]
    results: list[Shape]
    form: Any
    apart: str | None = None


@functools.cache
def processor() -> str:
    """A short hash of the processor's kind and abilities."""
    about = [platform.machine(), platform.processor()]
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    about += sorted({line for line in lines if line.startswith(("flags", "Features", "model name"))})
    return hashlib.sha256("\n".join(about).encode()).hexdigest()[:12]


@functools.cache
def code() -> str:
    """A hash of the code and the libraries that make programs."""
    digest = hashlib.sha256()
    for file in sorted(file for folder in CODE for file in folder.rglob("*") if file.suffix in (".py", ".cpp", ".h")):
        digest.update(str(file.relative_to(PACKAGE.parent)).encode() + file.read_bytes())
    about = [torch.__version__, version("transformers"), platform.python_version(), torch.version.git_version]
    digest.update("\n".join(map(str, about)).encode())
    return digest.hexdigest()


def key_of(name: str, description: str, arguments: list[Shape]) -> str:
    """The key of the program `name` over state of this `description`."""
    about = json.dumps([name, description, [asdict(shape) for shape in arguments], code(), processor()])
    return hashlib.sha256(about.encode()).hexdigest()[:32]


def home() -> Path:
    """Where this processor's programs lie."""
    return cache_dir("programs", processor())


def find(key: str) -> Package | None:
    """The package of `key`; None where there is none, or where one of its files is not what was written."""
    folder = home() / key
    if not folder.exists():
        return None
    try:
        about = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        if about["key"] != key:
            raise ValueError("another program's manifest")
        for name, digest in about["files"].items():
            if sha256_of(folder / name) != digest:
                raise ValueError(f"{name} is damaged")
        literals = torch.load(folder / LITERALS, weights_only=True)
        results = [Shape(tuple(size), tuple(stride), dtype) for size, stride, dtype in about["results"]]
        library = folder / PROGRAM if PROGRAM in about["files"] else None
        return Package(library, about["names"], literals, results, about["form"], about["apart"])
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        log.warning("%s: %s; the program is made anew", folder, error)
        return None


def open_job() -> Path:
    """A new folder for a program that is being made."""
    return Path(tempfile.mkdtemp(prefix="job-", dir=home()))


def write_literals(taken: Capture, folder: Path) -> None:
    torch.save(taken.literals, folder / LITERALS)


def write_graph(taken: Capture, folder: Path) -> None:
    """Write the graph of `taken` to `folder`, for `harness.decoding.compiled.worker`.

    Of what the graph holds, shapes are written and no weights. What it does not read any more is forgotten.
    """
    read = {str(node.target) for node in taken.graph.graph.nodes if node.op == "get_attr"}
    for names in (taken.names, taken.literals):
        for name in names.keys() - read:
            del names[name]
    write_literals(taken, folder)
    held = {name: getattr(taken.graph, name) for name in [*taken.names, *taken.literals]}
    graphs.write(folder / GRAPH, taken.graph.graph, taken.arguments, held)


def keep(key: str, name: str, found: Capture, job: Path, apart: str | None = None) -> None:
    """Make the job's folder, with its compiled program, the package of `key`: all at once, in place of any other."""
    (job / GRAPH).unlink(missing_ok=True)
    about = {
        "key": key,
        "program": name,
        "torch": torch.__version__,
        "names": found.names,
        "results": [[shape.size, shape.stride, shape.dtype] for shape in found.results],
        "form": found.form,
        "apart": apart,
        "files": {file: sha256_of(job / file) for file in (PROGRAM, TABLE, LITERALS) if (job / file).exists()},
    }
    (job / MANIFEST).write_text(json.dumps(about, indent=1), encoding="utf-8")
    place = home() / key
    try:
        os.rename(job, place)
    except OSError:  # another process was faster, or what lies there is damaged
        if find(key) is None:
            aside = Path(tempfile.mkdtemp(prefix="old-", dir=home()))
            os.replace(place, aside / "package")
            os.rename(job, place)
            shutil.rmtree(aside, ignore_errors=True)
        else:
            shutil.rmtree(job, ignore_errors=True)

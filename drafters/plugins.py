"""Drafters that other packages bring, by an entry point of theirs or as `package.module:Class`.

An entry point is a line of a package's pyproject.toml:

    [project.entry-points."drafthouse.drafters"]
    mine = "my_package.module:MyDrafter"

Entry points are listed from the packages' metadata, so a list costs no import. Code runs once a config asks for it.
"""

from __future__ import annotations

import hashlib
import sys
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from drafters.errors import InputError, closest

GROUP = "drafthouse.drafters"
FORM = "package.module:Class"
#: The calls of `drafters.base.Drafter`, and the attributes that its decoder reads.
CALLS = ("begin", "start", "propose", "observe")
ATTRIBUTES = ("name", "taps", "max_draft_tokens")
#: Files whose change is another drafter.
CODE = (".py", ".so", ".pyd")


@dataclass(frozen=True, slots=True)
class Offer:
    """An entry point: `code` is "module:Class", `package` and `version` are the distribution's, `about` its summary."""

    name: str
    code: str
    package: str
    version: str
    about: str = ""

    @property
    def origin(self) -> str:
        return f"{self.package} {self.version}"


def offers() -> dict[str, tuple[Offer, ...]]:
    """The entry points of all installed packages by name, sorted; several where more than one package claims a name."""
    found: dict[str, set[Offer]] = defaultdict(set)
    for point in entry_points(group=GROUP):
        about = point.dist.metadata if point.dist is not None else None
        package, version = (about["Name"], about["Version"]) if about is not None else ("an unknown package", "?")
        summary = about["Summary"] if about is not None and "Summary" in about else ""
        code = point.value.partition("[")[0].strip()  # without extras
        found[point.name].add(Offer(point.name, code, str(package), str(version), str(summary)))
    return {name: tuple(sorted(found[name], key=lambda offer: offer.origin)) for name in sorted(found)}


def offer_of(name: str, known: Iterable[str], where: str) -> Offer:
    """The one entry point called `name`. Raises InputError beginning with `where`, which also names those `known`."""
    found = offers()
    claims = found.get(name, ())
    if len(claims) > 1:
        packages = " and ".join(offer.package for offer in claims)
        raise InputError(
            f"{where}: {packages} both offer a drafter of this name, expected the class itself: "
            f"kind: {claims[0].code} or kind: {claims[1].code}"
        )
    if not claims:
        choices = [*known, *(one for one in found if one not in known)]
        dotted = name.rpartition(".")
        hint = f", did you mean {dotted[0]}:{dotted[2]}?" if dotted[0] else closest(name, choices)
        raise InputError(f"{where}: expected one of {', '.join(choices)}, or {FORM}{hint}")
    return claims[0]


def load_code(code: str, where: str) -> Any:
    """What "package.module:name" names; modules of the current folder are found too.

    Raises InputError beginning with `where`, in one line, for a module that does not import, whatever it raises, and
    for a name that it lacks.
    """
    module_name, _, name = code.partition(":")
    parts = [*module_name.split("."), *name.split(".")]
    if not all(part.isidentifier() for part in parts):
        raise InputError(f"{where}: expected {FORM}")
    here = str(Path.cwd())
    if here not in sys.path and "" not in sys.path:
        sys.path.append(here)  # behind everything else: no file of this folder may hide an installed package
    try:
        found: Any = import_module(module_name)
    except (Exception, SystemExit) as error:  # it is not our code
        reason = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        raise InputError(
            f"{where}: {module_name} cannot be imported ({reason}), expected a module of an installed package or of "
            "this folder"
        ) from error
    for part in name.split("."):
        try:
            found = getattr(found, part)
        except AttributeError as error:
            hint = closest(part, [one for one in vars(found) if not one.startswith("_")])
            raise InputError(f"{where}: {module_name} has no {part}{hint or f', expected {FORM}'}") from error
    return found


def load_drafter_class(code: str, where: str) -> type:
    """The drafter's class that "package.module:Class" names. Raises InputError, also for what is no drafter."""
    found = load_code(code, where)
    if not isinstance(found, type):
        raise InputError(f"{where}: {code} is of type {type(found).__name__}, expected a class: {FORM}")
    missing = [call for call in CALLS if not callable(getattr(found, call, None))]
    if missing:
        lacking = " and no ".join(missing)
        raise InputError(f"{where}: the class has no {lacking}, expected a drafter with the calls {', '.join(CALLS)}")
    return found


def check_attributes(drafter: Any, where: str) -> None:
    """Raise InputError for an instance without what its decoder reads."""
    missing = [name for name in ATTRIBUTES if not hasattr(drafter, name)]
    if missing:
        lacking = " and no ".join(missing)
        raise InputError(f"{where}: the drafter has no {lacking}, expected as in drafters.base.Drafter")


def source_of(found: type) -> dict[str, str]:
    """The code of a class as a run's identity holds it: a hash of its package's code files, or of its module alone.

    The package is the outermost one that has an `__init__.py`. Data files are left out: a new version marks them.
    """
    module = sys.modules[found.__module__]
    parts = found.__module__.split(".")
    files: Sequence[tuple[str, Path]] = []
    for depth in range(1, len(parts) + 1):
        outer = sys.modules.get(".".join(parts[:depth]))
        place = getattr(outer, "__file__", None)
        if place is not None and Path(place).stem == "__init__":
            root = Path(place).parent
            files = sorted((p.relative_to(root).as_posix(), p) for p in root.rglob("*") if p.suffix in CODE)
            break
    if not files and getattr(module, "__file__", None):
        files = [("", Path(str(module.__file__)))]
    digest = hashlib.sha256()
    for name, path in files:
        digest.update(f"{name}\0{hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return {"code": f"{found.__module__}:{found.__qualname__}", "files_sha256": digest.hexdigest()[:16]}

"""The rooms of the house and who may import whom: a room imports rooms below it, never beside or above."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
#: From the top floor down; rooms of one floor do not know each other.
FLOORS = (
    # Commands: imported by nobody.
    ("__main__", "advise", "compare", "diagnose", "export", "inspect", "status", "train", "upload"),
    ("launch",),
    ("run",),
    ("engines", "training"),
    ("comparison",),
    ("decoding", "report"),
    ("target", "tasks", "metrics"),
    ("config", "records"),
    ("vocabulary",),
)
FLOOR = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}
MAX_FILES, MAX_LINES = 20, 300

def modules(package: str) -> dict[str, Path]:
    """Dotted names of the package's files, without the faces that only hand names on."""
    files = [path for path in (ROOT / package).rglob("*.py") if path.name != "__init__.py"]
    return {".".join(path.relative_to(ROOT).with_suffix("").parts): path for path in files}


def imported(path: Path) -> Iterator[tuple[int, str]]:
    """Line and dotted name of every import of ours, inside functions too."""
    package = path.relative_to(ROOT).parts[:-1] if path.is_relative_to(ROOT) else ()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else ()
            base = ".".join((*above, *filter(None, [node.module])))
            yield from ((node.lineno, f"{base}.{alias.name}") for alias in node.names)


def room_of(name: str) -> str | None:
    """`target` for `harness.target.cache.LayerBuffer`; None for what is not the harness's."""
    parts = name.split(".")
    return parts[1] if parts[0] == "harness" and len(parts) > 1 and parts[1] in FLOOR else None


def arrows_up(name: str, path: Path) -> Iterator[str]:
    """File, line and both rooms of every import in the module `name` that does not run down."""
    mine = room_of(name)
    assert mine is not None, f"{name} is in no room: give it one in FLOORS"
    for line, other in imported(path):
        theirs = room_of(other)
        if theirs not in (None, mine) and FLOOR[theirs] <= FLOOR[mine]:
            yield f"{'/'.join(name.split('.'))}.py:{line} ({mine}) imports {other} ({theirs})"


def test_every_arrow_runs_down() -> None:
    wrong = [line for name, path in modules("harness").items() for line in arrows_up(name, path)]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(
    ("name", "line", "found"),
    [
        ("harness.metrics.cells", "import harness.report.console", "(metrics) imports harness.report.console (report)"),
        ("harness.tasks.dataset", "import harness.target.load", "(tasks) imports harness.target.load (target)"),
        ("harness.records.files", "def late():\n    import harness.run", "(records) imports harness.run (run)"),
        ("harness.report.console", "from harness.metrics.cells import Cell", None),
        ("harness.report.console", "from harness.report.names import arm_name", None),
    ],
)
def test_a_planted_import_is_found_with_file_line_and_both_rooms(
    tmp_path: Path, name: str, line: str, found: str | None
) -> None:
    planted = tmp_path / "planted.py"
    planted.write_text(f"import sys\n{line}\n", encoding="utf-8")
    expected = [f"{'/'.join(name.split('.'))}.py:{2 + line.count(chr(10))} {found}"] if found else []
    assert list(arrows_up(name, planted)) == expected


def test_drafters_know_nothing_of_the_harness() -> None:
    assert not [p for p in modules("drafters").values() if any(o.startswith("harness") for _, o in imported(p))]


def test_no_file_imports_itself_round_a_corner() -> None:
    known = modules("harness") | modules("drafters")
    below = {n: {o for _, f in imported(p) for o in (f, f.rpartition(".")[0]) if o in known} for n, p in known.items()}
    done: set[str] = set()

    def visit(name: str, path: tuple[str, ...]) -> None:
        assert name not in path, " -> ".join((*path[path.index(name) :], name))
        if name not in done:
            for other in sorted(below[name] - {name}):
                visit(other, (*path, name))
            done.add(name)

    for name in known:
        visit(name, ())


def test_rooms_stay_small_enough_to_know() -> None:
    for package in ("harness", "drafters"):
        paths = list(modules(package).values())
        for folder, count in Counter(path.parent for path in paths).items():
            assert count <= MAX_FILES, f"{folder.relative_to(ROOT)} holds {count} files"
        for path in paths:
            assert len(path.read_text(encoding="utf-8").splitlines()) <= MAX_LINES, f"{path.relative_to(ROOT)} is long"


def test_the_top_of_the_harness_is_known_at_a_glance() -> None:
    entries = [path for path in (ROOT / "harness").iterdir() if not path.name.startswith("__pycache__")]
    assert len([path for path in entries if path.suffix == ".py"]) <= 12
    assert len([path for path in entries if path.is_dir()]) <= 12

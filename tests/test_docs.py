"""The documents keep to the tree: every link, path and module they name exists, and the README's example runs."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmarks.common import machine
from harness import generate, load_target
from harness.records.paths import without_places
from harness.vocabulary import ASSETS

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = ("benchmarks", "conf", "docs", "drafters", "harness", "hydra_plugins", "tests", "tools")
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.md"))])
#: Comments and docstrings name files, too.
SOURCES = sorted(
    path for folder in FOLDERS for ending in ("py", "yaml", "sh") for path in (ROOT / folder).rglob(f"*.{ending}")
)
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
PATH = re.compile(rf"(?<![\w./-])(?:{'|'.join(FOLDERS)})/[\w./*-]*\.(?:py|md|yaml|sh|json|jsonl|png|svg|txt|toml)\b")
#: `drafters.` begins config keys as well, and is left out.
MODULE = re.compile(r"(?<![\w./-])(?:harness|benchmarks)(?:\.\w+)+")
SUFFIXES = ("py", "md", "yaml", "sh", "json", "jsonl", "png", "svg", "txt", "toml")


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def anchors(path: Path) -> set[str]:
    """The anchors of a document's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def is_module(dotted: str) -> bool:
    """True for a package, a module, or a name that a module's text holds."""
    parts = dotted.split(".")
    for count in range(len(parts), 0, -1):
        place = ROOT.joinpath(*parts[:count])
        file = place.with_suffix(".py") if place.with_suffix(".py").is_file() else place / "__init__.py"
        if file.is_file():
            return count == len(parts) or bool(re.search(rf"\b{parts[count]}\b", file.read_text(encoding="utf-8")))
    return False


def exists(path: str) -> bool:
    """True for a file of the tree; `*` and the placeholder NAME stand for any name."""
    return any(ROOT.glob(re.sub(r"\bNAME\b", "*", path)))


def missing_links(path: Path) -> Iterator[str]:
    for link in LINK.findall(path.read_text(encoding="utf-8")):
        target, _, anchor = link.partition("#")
        place = (path.parent / target).resolve() if target else path
        if re.match(r"\w+:", link):
            continue
        if not place.exists() or (anchor and anchor not in anchors(place)):
            yield link


@pytest.mark.parametrize("path", DOCUMENTS, ids=name)
def test_every_relative_link_and_image_leads_somewhere(path: Path) -> None:
    assert list(missing_links(path)) == []


def test_a_missing_file_and_a_missing_heading_are_noticed(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# A heading\n[good](#a-heading) [bad](#none) ![bad](gone.png) [web](https://example.org)\n")
    assert list(missing_links(page)) == ["#none", "gone.png"]


def missing_names(path: Path) -> Iterator[str]:
    """The paths and modules of the tree that a text names and the tree lacks."""
    text = path.read_text(encoding="utf-8")
    modules = {found for found in MODULE.findall(text) if found.rpartition(".")[2] not in SUFFIXES}
    if path.suffix != ".py" or path.is_relative_to(ROOT / "harness"):  # tests and tools name modules of other trees
        yield from (found for found in sorted(modules) if not is_module(found))
    yield from (found for found in sorted(set(PATH.findall(text))) if not exists(found))


@pytest.mark.parametrize("path", [*DOCUMENTS, ROOT / "Makefile"], ids=name)
def test_every_path_and_module_in_a_document_exists(path: Path) -> None:
    assert list(missing_names(path)) == []


def test_every_path_and_module_in_code_and_configs_exists() -> None:
    assert [(name(path), found) for path in SOURCES for found in missing_names(path)] == []


def test_a_path_and_a_module_that_are_gone_are_noticed(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    gone = "docs" + "/cpu.md"  # in two pieces, since this file is checked as well
    page.write_text(f"`harness.run` `harness.ran` `docs/gpu.md` `{gone}` `conf/dataset/NAME.yaml`\n")
    assert list(missing_names(page)) == ["harness.ran", gone]


def test_the_benchmarks_page_names_every_result() -> None:
    named = set(LINK.findall((ROOT / "benchmarks/README.md").read_text(encoding="utf-8")))
    kept = {str(path.relative_to(ROOT / "benchmarks")) for path in (ROOT / "benchmarks/results").rglob("*.*")}
    assert kept == {link for link in named if link.startswith("results/")}


@pytest.mark.parametrize("path", sorted((ROOT / "benchmarks/results").rglob("*.json")), ids=name)
def test_a_result_is_named_by_benchmark_machine_and_date_and_holds_no_place_of_it(path: Path) -> None:
    kept = json.loads(path.read_text(encoding="utf-8"))
    assert without_places(kept, bases=()) == kept
    assert path.parent.name == kept["benchmark"]
    assert path.stem.endswith(f"-{machine(kept['hardware'])}-{kept['date']}")


def test_the_drafter_in_contributing_drafts_for_the_embedded_target() -> None:
    (example,) = re.findall(r"```python\n(.*?)```", (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"), re.DOTALL)
    names: dict[str, Any] = {}
    exec(example, names)
    target = load_target(ASSETS / "target", device="cpu", dtype="float32", execution="eager")
    prompt, options = [2, 105, 107, 106, 108], {"max_new_tokens": 12, "num_draft_tokens": 3}
    drafted = generate(target, names["Repeat"](), prompt, **options)
    assert drafted.token_ids == generate(target, None, prompt, max_new_tokens=12).token_ids
    assert {one.drafted for one in drafted.rounds} == {3}


def test_the_readme_is_short() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(text.split()) <= 900
    assert len(re.findall(r"\d+(?:[.,]\d+)*", text)) <= 40


def test_the_readmes_example_runs_as_it_stands(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(ROOT)
    (example,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    exec(example, {})
    assert re.search(r"[a-z]{3}", capsys.readouterr().out), "text, not token ids"


def test_the_example_report_is_small_and_names_no_path_of_a_machine() -> None:
    text = (ROOT / "docs/example/index.html").read_text(encoding="utf-8")
    assert len(text.encode()) < 500_000
    assert re.findall(r"/(?:home|root|tmp|work|Users)/[^\"<\s]*", text) == []

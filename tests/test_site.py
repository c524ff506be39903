"""The documentation builds as a site without a warning, offline, and with every page in it."""

from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import Any

import pytest

mkdocs_config = pytest.importorskip("mkdocs.config", reason="mkdocs comes with the extra `docs`, which `dev` includes")

ROOT = Path(__file__).resolve().parents[1]
OTHER_HOST = re.compile(r'<(?:script|link|img)[^>]*(?:src|href)="(?:https?:)?//', re.IGNORECASE)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built site. Raises what a strict build raises at a warning."""
    from mkdocs.commands.build import build

    folder = tmp_path_factory.mktemp("site")
    config: Any = mkdocs_config.load_config(str(ROOT / "mkdocs.yml"), site_dir=str(folder), strict=True)
    for name in ("mkdocs", "MARKDOWN"):
        logging.getLogger(name).setLevel(logging.WARNING)
    build(config)
    return folder


def test_every_page_is_in_the_site(site: Path) -> None:
    pages = [path.relative_to(ROOT / "docs").with_suffix("") for path in (ROOT / "docs").rglob("*.md")]
    lacking = [page for page in pages if page.name != "README" and not (site / page / "index.html").is_file()]
    assert not lacking
    assert (site / "index.html").is_file()


def test_what_pages_link_to_outside_the_folder_is_in_it_too(site: Path) -> None:
    assert (site / "repository" / "CONTRIBUTING" / "index.html").is_file()
    assert (site / "repository" / "benchmarks" / "index.html").is_file()
    assert list((site / "repository" / "benchmarks" / "results").rglob("*.json"))


def test_no_page_loads_anything_from_another_host(site: Path) -> None:
    assert not [page for page in site.rglob("*.html") if OTHER_HOST.search(page.read_text(encoding="utf-8"))]


def test_a_page_without_an_entry_in_the_menu_is_appended(site: Path) -> None:
    """So that a new page breaks nothing."""
    from tools.site import complete

    assert complete([{"Begin": ["a.md"]}, {"More": [{"B": "b.md"}]}], ["a.md", "b.md", "c.md"]) == [
        {"Begin": ["a.md"]},
        {"More": [{"B": "b.md"}]},
        "c.md",
    ]

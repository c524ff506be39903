"""Hooks of mkdocs: the site also holds what its pages link to outside `docs/`, with every link kept.

A page of `docs/` may link to `../benchmarks/README.md` or `../CONTRIBUTING.md`, which must be right in the repository
too. Such files join the site below `repository/`, pages as pages and others as they are, and so do the files that they
link to.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File

ROOT = Path(__file__).resolve().parents[1]
DOCS, OUTSIDE = "docs", "repository"
LINK = re.compile(r"(!?\[[^\]]*\]\()([^)\s#]+)((?:#[^)\s]*)?\))")


def on_config(config: Any) -> Any:
    """Append the pages that the menu lacks, so that a new page breaks no build."""
    folder = Path(config.docs_dir)
    config.nav = complete(config.nav, sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.md")))
    return config


def complete(menu: list[Any], pages: list[str]) -> list[Any]:
    """`menu` with those of `pages` that it lacks at its end."""
    listed = set(re.findall(r"'([^']+\.md)'", repr(menu)))
    return [*menu, *(page for page in pages if page not in listed)]


def in_repository(uri: str) -> str:
    """The path in the repository of a source of the site."""
    return uri.removeprefix(f"{OUTSIDE}/") if uri.startswith(f"{OUTSIDE}/") else f"{DOCS}/{uri}"


def in_site(path: str) -> str:
    """The source in the site of a path in the repository."""
    return path.removeprefix(f"{DOCS}/") if path.startswith(f"{DOCS}/") else f"{OUTSIDE}/{path}"


def target_of(page: str, link: str) -> str | None:
    """The path in the repository to which `link` on a page at the path `page` leads; None for one to the web."""
    if re.match(r"\w+:|//|/", link):
        return None
    path = posixpath.normpath(posixpath.join(posixpath.dirname(page), link))
    return f"{path}/README.md" if (ROOT / path / "README.md").is_file() else path


def links_of(page: str) -> set[str]:
    """The files of the repository that a page at this path links to."""
    text = (ROOT / page).read_text(encoding="utf-8")
    targets = {target_of(page, found[1]) for found in LINK.findall(text)}
    return {target for target in targets if target is not None and (ROOT / target).is_file()}


def on_files(files: Any, config: Any) -> Any:
    """Add everything outside `docs/` that is linked to, and what that links to."""
    waiting = [in_repository(file.src_uri) for file in files if file.src_uri.endswith(".md")]
    known = set(waiting)
    while waiting:
        for target in links_of(waiting.pop()) - known:
            known.add(target)
            if not target.startswith(f"{DOCS}/"):
                files.append(File.generated(config, in_site(target), abs_src_path=str(ROOT / target)))
            if target.endswith(".md"):
                waiting.append(target)
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """Links between sources of the site instead of paths in the repository."""
    own = in_repository(page.file.src_uri)

    def rewritten(found: re.Match[str]) -> str:
        target = target_of(own, found[2])
        if target is None or not (ROOT / target).is_file():
            return found[0]
        return f"{found[1]}{posixpath.relpath(in_site(target), posixpath.dirname(page.file.src_uri) or '.')}{found[3]}"

    return LINK.sub(rewritten, markdown)

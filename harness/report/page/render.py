"""Renders templates as one self-contained page, which loads nothing and runs no text of a prompt or a model."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping
from functools import cache
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from harness.report import names
from harness.report.charts.palette import css_variables
from harness.vocabulary import PACKAGE

TEMPLATES = PACKAGE / "report" / "templates"
#: Joined, the one script of a page: its hash is what the Content-Security-Policy allows.
SCRIPTS = ("browser.js", "race.js", "charts.js", "sorting.js", "scrolling.js", "copy.js")
SECTION = re.compile(r'<section id="([\w-]+)"(?: data-nav="([^"]*)")?[^>]*>\s*<h2[^>]*>(.*?)</h2>', re.DOTALL)


@cache
def environment() -> Environment:
    """The templates' environment: it escapes every value that is not marked as markup."""
    made = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {"times": names.times, "number": names.number, "percent": names.percent, "sections_of": sections_of}
    return made


def sections_of(markup: str) -> list[tuple[str, Markup]]:
    """The contents list of `markup`: id and name of every section, the heading where it has no shorter name."""
    return [(place, Markup(short or heading)) for place, short, heading in SECTION.findall(markup)]


def render(template: str, **values: Any) -> str:
    """`template` filled with `values`, style and script.

    SVGs of `charts` are trusted markup; values called `*_json` are made safe for data blocks. The page's
    Content-Security-Policy allows its own script by hash and nothing else, so even a fault in the escaping could
    neither run nor load anything.
    """
    script = "\n".join(_file(name) for name in SCRIPTS)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    safe: dict[str, Any] = {
        name: _data_block(value) if name.endswith("_json") else value for name, value in values.items()
    }
    if isinstance(safe.get("charts"), Mapping):
        safe["svg"] = {name: Markup(chart.svg + chart.narrow) for name, chart in safe["charts"].items()}
    return (
        environment()
        .get_template(template)
        .render(
            style=Markup(css_variables() + _squeeze(_file("style.css"))),
            script=Markup(script),
            script_hash=digest,
            **safe,
        )
    )


def _data_block(json_text: str) -> Markup:
    """JSON for a `<script type="application/json">`, without `<`: neither `</script>` nor `<!--` can end the block."""
    escaped = json_text.replace("<", r"\u003c").replace(">", r"\u003e").replace("&", r"\u0026")
    return Markup(escaped)


def _file(name: str) -> str:
    return (TEMPLATES / name).read_text(encoding="utf-8").strip()


def _squeeze(css: str) -> str:
    return re.sub(r"/\*.*?\*/", "", css, flags=re.DOTALL)

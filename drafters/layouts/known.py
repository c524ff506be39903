"""All layouts, and the layout of a given config.json.

To add a layout, write its reader beside these and put it in `LAYOUTS`.
"""

from __future__ import annotations

from typing import Any

from drafters.errors import InputError
from drafters.layouts.assistant import ASSISTANT
from drafters.layouts.base import Layout, architecture
from drafters.layouts.deepspec import DEEPSPEC
from drafters.layouts.others import other_drafter
from drafters.layouts.speculators import SPECULATORS
from drafters.layouts.zlab import DFLASH, DFLASH2

LAYOUTS: tuple[Layout, ...] = (ASSISTANT, DFLASH, DFLASH2, DEEPSPEC, SPECULATORS)


def find_layout(raw: dict[str, Any]) -> Layout | None:
    """The layout that recognises this config.json."""
    return next((layout for layout in LAYOUTS if layout.matches(raw)), None)


def layout_of(raw: dict[str, Any], key: str, kind: str | None = None) -> Layout:
    """The layout of a drafter of `kind` (None: of any) that recognises this config.json.

    Raises InputError listing the layouts where none does, or where it belongs to another drafter.
    """
    layout = find_layout(raw)
    if layout is not None and kind in (None, layout.kind):
        return layout
    said = describe_marks(raw)
    wanted = [known for known in LAYOUTS if kind in (None, known.kind)]
    listed = "; ".join(f"{known.name} ({known.marker})" for known in wanted)
    if layout is not None:
        said += f", a {layout.name} for drafter {layout.kind}"
    raise InputError(f"{key}: {said}; expected {listed}")


def describe_marks(raw: dict[str, Any]) -> str:
    """The entries that distinguish layouts, as this config.json has them."""
    marks = [f"model_type is {raw.get('model_type')!r}", f"architectures names {architecture(raw)!r}"]
    if "speculators_model_type" in raw:
        marks.append(f"speculators_model_type is {raw['speculators_model_type']!r}")
    kind = None if find_layout(raw) else other_drafter(raw)
    return ", ".join(marks) + (f": {kind}, which is not read" if kind else "")

"""Error lines, compared whole."""

from __future__ import annotations

import re


def whole(line: str) -> str:
    """Pattern for `pytest.raises(match=...)` that takes this line and no longer one."""
    return rf"\A{re.escape(line)}\Z"

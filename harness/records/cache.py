"""The machine's cache: what one run measured or made here and later runs use again.

Rates of the machine, compiled programs and exported weights live here. Nothing in it is a record: whatever is missing,
damaged or made by other code is made anew.
"""

from __future__ import annotations

import os
from pathlib import Path

from drafters.errors import InputError

VARIABLE = "DRAFTHOUSE_CACHE"


def cache_dir(*parts: str) -> Path:
    """A folder of the cache, made where it is missing: `$DRAFTHOUSE_CACHE`, or drafthouse in the user's cache folder.

    Raises InputError where it cannot be made.
    """
    named = os.environ.get(VARIABLE)
    home = Path(named) if named else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "drafthouse"
    folder = home.joinpath(*parts)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{folder}: {error.strerror}; expected a folder that can be written, set {VARIABLE}") from None
    return folder

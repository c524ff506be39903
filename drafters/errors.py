"""The error for a checkpoint or an option that cannot be used."""

from __future__ import annotations


class InputError(ValueError):
    """What the user gave cannot be run. The message is one line that names the value, what was expected and the key."""

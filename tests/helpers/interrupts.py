"""Something that happens in the middle of a run: at the n-th answer that an arm decodes, warm-ups included."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from harness.comparison import arms as arms_module


def at_decode(patch: pytest.MonkeyPatch, number: int, action: Callable[[], None]) -> None:
    """Call `action` before the `number`-th decoding of the run, counted from 1."""
    real, calls = arms_module.decode, [0]

    def decode(*arguments: Any, **options: Any) -> Any:
        calls[0] += 1
        if calls[0] == number:
            action()
        return real(*arguments, **options)

    patch.setattr(arms_module, "decode", decode)


def interrupt() -> None:
    """Ctrl-C."""
    raise KeyboardInterrupt

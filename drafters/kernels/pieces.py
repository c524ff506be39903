"""The pieces that a program is made of, and who runs them.

A program of sixty layers takes minutes to compile as a whole, though it is one piece sixty times. So whatever walks
through such pieces calls them through `run_piece`, and whoever runs the program may put a compiled caller in its place:
pieces of one kind are then compiled once. Otherwise a piece is a plain call.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


def call_piece(piece: Callable[..., Any], *args: Any, **named: Any) -> Any:
    """A plain call. The piece is an argument, so that compiled, pieces of one kind are one program."""
    return piece(*args, **named)


_callers: list[Callable[..., Any]] = [call_piece]  # the last is in force


def run_piece(piece: Callable[..., Any], *args: Any, **named: Any) -> Any:
    """Call `piece` the way that is in force."""
    return _callers[-1](piece, *args, **named)


@contextmanager
def pieces_run_by(caller: Callable[..., Any]) -> Iterator[None]:
    """Let pieces be called through `caller`, a compiled `call_piece`, meanwhile; pieces inside a piece are plain."""
    _callers.append(lambda *args, **named: _as_one(caller, *args, **named))
    try:
        yield
    finally:
        _callers.pop()


def _as_one(caller: Callable[..., Any], *args: Any, **named: Any) -> Any:
    _callers.append(call_piece)
    try:
        return caller(*args, **named)
    finally:
        _callers.pop()

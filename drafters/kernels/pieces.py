"""The pieces that a program is made of, and how they are called.

A program of sixty layers takes minutes to compile as a whole, though it is one piece sixty times. Code that walks
through such pieces therefore calls them through `run_piece`, and code that runs a program may set another caller, which
compiles pieces of one kind once. By default a piece is a plain call.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch

Caller = Callable[..., Any]


def call_piece(piece: Callable[..., Any], *args: Any, **named: Any) -> Any:
    """A plain call. The piece is an argument, so that compiled, pieces of one kind are one program."""
    return piece(*args, **named)


_caller: ContextVar[Caller] = ContextVar("caller", default=call_piece)


def run_piece(piece: Callable[..., Any], *args: Any, **named: Any) -> Any:
    """Call `piece` through the active caller (plain or compiled)."""
    if torch.compiler.is_compiling():  # part of the program being compiled, whose tracer reads no context variables
        return piece(*args, **named)
    return _caller.get()(piece, *args, **named)


@contextmanager
def pieces_run_by(caller: Caller) -> Iterator[None]:
    """Call pieces through `caller`, a compiled `call_piece`, within this context; pieces inside a piece are plain."""

    def call_outermost(piece: Callable[..., Any], *args: Any, **named: Any) -> Any:
        with _called_by(call_piece):
            return caller(piece, *args, **named)

    with _called_by(call_outermost):
        yield


@contextmanager
def _called_by(caller: Caller) -> Iterator[None]:
    token = _caller.set(caller)
    try:
        yield
    finally:
        _caller.reset(token)

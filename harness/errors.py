"""The ways a run can end badly, each with the exit code that a calling script sees."""

from __future__ import annotations

from drafters.errors import InputError as InputError

EXIT_OK = 0
EXIT_CRASH = 1  # a fault of the harness itself, shown with its traceback
EXIT_BAD_INPUT = 2
EXIT_MISMATCH = 3
EXIT_ARM_FAILED = 4
EXIT_INTERRUPTED = 130


class ScoresError(RuntimeError):
    """A token would have to be chosen by scores that are NaN or infinite. The message names whose and where."""


class GuardError(RuntimeError):
    """The run works mechanically but its numbers cannot be true. The message says what to check."""

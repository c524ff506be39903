"""The ways in which a run can end, each with the exit code that a calling script sees."""

from __future__ import annotations

import errno

from drafters.errors import InputError as InputError

EXIT_OK = 0
EXIT_CRASH = 1  # a fault of the harness itself, shown with its traceback
EXIT_BAD_INPUT = 2
EXIT_MISMATCH = 3
EXIT_ARM_FAILED = 4
EXIT_STORAGE = 5  # a full or failing disk; what was committed stays, and the same command continues
EXIT_INTERRUPTED = 130

#: Errors of a full or failing disk: no fault of the harness, and no reason to lose committed records.
STORAGE_FAILED = frozenset(
    getattr(errno, name) for name in ("ENOSPC", "EDQUOT", "EFBIG", "EIO", "ESTALE") if hasattr(errno, name)
)
#: Errors of a path that this user may not use.
NO_ACCESS = frozenset({errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG})


class ScoresError(RuntimeError):
    """Scores from which a token would be chosen are NaN or infinite. The message names the model and the place."""


class GuardError(RuntimeError):
    """The run works mechanically but its numbers cannot be true. The message says what to check."""

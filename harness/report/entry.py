"""The frame of every command: safe output, one line for a failure, and its exit code.

    @command
    def main(arguments: Sequence[str] | None = None) -> int: ...

A run of hours must not fail because a console lacks a character or `head` has read enough: missing characters are
replaced, and if the reader of stdout leaves, the rest is dropped and the exit code is the work's own.
"""

from __future__ import annotations

import codecs
import contextlib
import errno
import functools
import getpass
import os
import sys
import traceback
from collections.abc import Callable, Iterator
from typing import Any, ParamSpec, TextIO, cast

from drafters.errors import InputError
from harness.records.files import STORAGE_FAILED
from harness.records.terminal import fitted, width_of
from harness.vocabulary import EXIT_BAD_INPUT, EXIT_CRASH, EXIT_INTERRUPTED, EXIT_OK, EXIT_STORAGE

Arguments = ParamSpec("Arguments")
LEGIBLE = "drafthouse-legible"
PLAIN = str.maketrans({"×": "x", "–": "-", "—": "-", "…": "...", "’": "'", "·": "-", "→": "->", "≥": ">=", "≤": "<="})
HORIZONTAL, VERTICAL = "─━╌╍═╴╶╸╺", "│┃╎║"
#: Errors of a path that this user may not use.
NO_ACCESS = frozenset({errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG})
#: Errors of writing to a closed pipe, socket or terminal.
GONE = (errno.EPIPE, errno.EIO, errno.ECONNRESET, errno.ESHUTDOWN)


def command(main: Callable[Arguments, int]) -> Callable[Arguments, int]:
    """`main` with its failures turned into a line on stderr and an exit code."""

    @functools.wraps(main)
    def guarded(*arguments: Arguments.args, **options: Arguments.kwargs) -> int:
        with steady_streams():
            name_the_user()
            try:
                code = main(*arguments, **options)
                sys.stdout.flush()
            except KeyboardInterrupt:
                say("interrupted")
                return EXIT_INTERRUPTED
            except Exception as error:
                return tell(error)
            return code

    return guarded


def say(text: str) -> None:
    """One line on stderr, broken between words where that is a terminal."""
    print(fitted(text, width_of(sys.stderr)), file=sys.stderr, flush=True)


def tell(error: BaseException, hint: str = "") -> int:
    """Print a failure, as one line if the user can mend it; returns the exit code. `hint` follows a failed disk."""
    code, line = explain(error)
    if line is None:
        traceback.print_exception(error)
    else:
        say(f"error: {line}{f'; {hint}' if hint and code == EXIT_STORAGE else ''}")
    return code


def explain(error: BaseException) -> tuple[int, str | None]:
    """Exit code and line of a failure; None for a fault of the harness, which needs its traceback."""
    if isinstance(error, InputError):
        return EXIT_BAD_INPUT, str(error)
    if isinstance(error, OSError):
        where = "a file" if error.filename is None else os.fsdecode(str(error.filename))
        if error.errno in STORAGE_FAILED:
            return EXIT_STORAGE, f"{where}: {error.strerror}; what was written before stays"
        if error.errno in NO_ACCESS and error.filename is not None:
            return EXIT_BAD_INPUT, f"{where}: {error.strerror}, expected a path that this user may read and write"
        if isinstance(error, FileNotFoundError) and not has_folder():
            return EXIT_BAD_INPUT, "the current folder is gone: expected to be started in one that exists"
    return EXIT_CRASH, None


def reason_of(error: BaseException) -> str:
    """A failure in a few words, for a note that is kept."""
    return explain(error)[1] or f"{type(error).__name__}: {error}"


def has_folder() -> bool:
    """Whether the current folder still exists."""
    try:
        os.getcwd()
    except FileNotFoundError:
        return False
    return True


def name_the_user() -> None:
    """Name a user who has no entry in the password database: torch's compiler and others ask for a name."""
    try:
        getpass.getuser()
    except (KeyError, OSError):
        os.environ["USER"] = f"uid{os.getuid()}"


def through_hydra(job: Callable[[], Any]) -> int:
    """Run a Hydra main. Raises InputError for a configuration that cannot be composed; other errors pass unchanged.

    Left alone, Hydra prints a failure and exits with 1, whatever its cause. The remaining exits are those of its
    command line: 0 after --help, another code for options that do not fit together.
    """
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    asked = os.environ.get("HYDRA_FULL_ERROR")
    os.environ["HYDRA_FULL_ERROR"] = "1"
    try:
        job()
    except (HydraException, OmegaConfBaseException) as error:
        if asked not in (None, "0"):
            traceback.print_exception(error)
        cause = f" {error.__cause__}" if isinstance(error.__cause__, OmegaConfBaseException) else ""
        raise InputError(" ".join(f"{error}{cause}".split())) from error
    except OSError as error:
        if error.errno not in NO_ACCESS:
            raise
        raise InputError(
            f"{error.filename}: {error.strerror}, expected hydra.run.dir (hydra.sweep.dir of a sweep) "
            "to be a folder that this user may write"
        ) from error
    except SystemExit as stop:
        return EXIT_OK if stop.code in (None, 0) else EXIT_BAD_INPUT
    finally:
        if asked is None:
            del os.environ["HYDRA_FULL_ERROR"]
        else:
            os.environ["HYDRA_FULL_ERROR"] = asked
    return EXIT_OK


# -- output ------------------------------------------------------------------------------------------------------------


def legible(error: UnicodeError) -> tuple[str, int]:
    """Codec error handler: a missing character becomes its plain look-alike, or else a backslash escape."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    text = "".join(map(_line, error.object[error.start : error.end])).translate(PLAIN)
    return text.encode("ascii", "backslashreplace").decode("ascii"), error.end


def _line(character: str) -> str:
    """Box-drawing characters as in ASCII tables."""
    if not "\u2500" <= character <= "\u257f":
        return character
    return "-" if character in HORIZONTAL else "|" if character in VERTICAL else "+"


codecs.register_error(LEGIBLE, legible)


class Steady:
    """A text stream that drops text it can no longer deliver.

    When the reader has gone, the rest is dropped and nothing is raised. Another failure of a `needed` stream is raised
    once, with the stream's name, as the result is lost then; of any other stream it is dropped too.
    """

    def __init__(self, stream: TextIO, name: str, *, needed: bool) -> None:
        self.stream, self.label, self.needed = stream, name, needed

    def write(self, text: str) -> int:
        with self._delivering():
            self.stream.write(text)
        return len(text)

    def flush(self) -> None:
        with self._delivering():
            self.stream.flush()

    @contextlib.contextmanager
    def _delivering(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self._drop_the_rest()
            if self.needed and error.errno not in GONE:
                raise OSError(error.errno, error.strerror, self.label) from error

    def _drop_the_rest(self) -> None:
        # At the level of the file descriptor: the buffers above it would be written again when the process ends.
        with contextlib.suppress(OSError, ValueError, AttributeError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self.stream.fileno())
            os.close(nowhere)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


@contextlib.contextmanager
def steady_streams() -> Iterator[None]:
    """Make stdout and stderr `Steady` and legible until the block ends."""
    before = sys.stdout, sys.stderr
    handlers = [(stream, getattr(stream, "errors", None)) for stream in before]
    for stream in before:
        _set_errors(stream, LEGIBLE)
    sys.stdout = _steady(sys.stdout, "stdout", needed=True)
    sys.stderr = _steady(sys.stderr, "stderr", needed=False)
    try:
        yield
    finally:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError):
                stream.flush()
        sys.stdout, sys.stderr = before
        for stream, errors in handlers:
            _set_errors(stream, errors)


def _steady(stream: TextIO | None, name: str, *, needed: bool) -> TextIO:
    if stream is None:  # closed by the parent process; its descriptor must not become that of a record
        return open(os.devnull, "w", encoding="utf-8")
    return stream if isinstance(stream, Steady) else cast(TextIO, Steady(stream, name, needed=needed))


def _set_errors(stream: Any, errors: str | None) -> None:
    if errors is not None and hasattr(stream, "reconfigure"):
        with contextlib.suppress(OSError, ValueError):
            stream.reconfigure(errors=errors)

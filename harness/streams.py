"""stdout and stderr that cannot hurt a command: any console can show the text, and a reader may leave.

A run of hours must not fail because `head` had read enough or because a console does not know a multiplication sign.
"""

from __future__ import annotations

import codecs
import contextlib
import errno
import os
import sys
from collections.abc import Iterator
from typing import Any, TextIO, cast

LEGIBLE = "drafthouse-legible"
PLAIN = str.maketrans({"×": "x", "–": "-", "—": "-", "…": "...", "’": "'", "·": "-", "→": "->", "≥": ">=", "≤": "<="})
HORIZONTAL, VERTICAL = "─━╌╍═╴╶╸╺", "│┃╎║"
#: What writing to a closed pipe, socket or terminal says.
GONE = (errno.EPIPE, errno.EIO, errno.ECONNRESET, errno.ESHUTDOWN)


def legible(error: UnicodeError) -> tuple[str, int]:
    """Codec error handler: what an encoding lacks becomes its plain look-alike, or else a backslash escape."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    text = "".join(map(_line, error.object[error.start : error.end])).translate(PLAIN)
    return text.encode("ascii", "backslashreplace").decode("ascii"), error.end


def _line(character: str) -> str:
    """Box-drawing characters as tables in ASCII draw them."""
    if not "\u2500" <= character <= "\u257f":
        return character
    return "-" if character in HORIZONTAL else "|" if character in VERTICAL else "+"


codecs.register_error(LEGIBLE, legible)


class Steady:
    """A text stream that drops what it can no longer deliver.

    When the reader has gone, the rest is dropped and nothing is raised. Any other failure of a `needed` stream is
    raised once, with the stream's name, as what was asked for is lost then; of another stream it is dropped too.
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
    """stdout and stderr as described above, until the block ends."""
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
    if stream is None:  # closed by whoever started the process; its descriptor must not become that of a record
        return open(os.devnull, "w", encoding="utf-8")
    return stream if isinstance(stream, Steady) else cast(TextIO, Steady(stream, name, needed=needed))


def _set_errors(stream: Any, errors: str | None) -> None:
    if errors is not None and hasattr(stream, "reconfigure"):
        with contextlib.suppress(OSError, ValueError):
            stream.reconfigure(errors=errors)

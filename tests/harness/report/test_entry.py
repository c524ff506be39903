"""Safe output: characters that an encoding lacks are replaced, and text that cannot be delivered is dropped."""

from __future__ import annotations

import errno
import io
import os
import sys

import pytest

from harness.report.entry import LEGIBLE, Steady, steady_streams


@pytest.mark.parametrize(
    ("encoding", "text", "printed"),
    [
        ("ascii", "3.52× – 1…2", "3.52x - 1...2"),
        ("ascii", "┏━┳━┓│─║", "+-+-+|-|"),
        ("latin-1", "3.52× é 漢", "3.52× é \\u6f22"),
        ("utf-8", "× 漢 \udce9", "× 漢 \\udce9"),
    ],
)
def test_missing_characters_are_replaced_by_look_alikes(encoding: str, text: str, printed: str) -> None:
    assert text.encode(encoding, LEGIBLE).decode(encoding) == printed


class Refusing(io.StringIO):
    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number

    def write(self, text: str) -> int:
        raise OSError(self.number, os.strerror(self.number))


@pytest.mark.parametrize("number", [errno.EPIPE, errno.EIO, errno.ECONNRESET])
def test_a_reader_or_terminal_that_has_gone_is_no_failure(number: int) -> None:
    stream = Steady(Refusing(number), "stdout", needed=True)
    assert stream.write("text") == 4
    stream.flush()


def test_a_full_disk_is_a_failure_of_stdout_and_none_of_stderr() -> None:
    with pytest.raises(OSError, match="No space left") as caught:
        Steady(Refusing(errno.ENOSPC), "stdout", needed=True).write("text")
    assert caught.value.filename == "stdout"
    assert Steady(Refusing(errno.ENOSPC), "stderr", needed=False).write("text") == 4


def test_the_streams_are_what_they_were_when_the_command_has_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii", errors="strict")
    monkeypatch.setattr(sys, "stdout", stream)
    with steady_streams(), steady_streams():
        print("×")
        assert isinstance(sys.stdout, Steady) and not isinstance(sys.stdout.stream, Steady)
    assert sys.stdout is stream and stream.errors == "strict"
    assert stream.buffer.getvalue() == b"x\n"  # type: ignore[attr-defined]

"""JSONL files to the byte: where a torn one is cut, what a failed write leaves, which lines are skipped or refused."""

from __future__ import annotations

import errno
import os
from io import FileIO
from itertools import product
from pathlib import Path
from typing import Any

import filelock
import pytest

from drafters.errors import InputError
from harness.records import journal_files
from harness.records.journal_files import append_lines, cut_torn_line, open_for_append, open_locked, read_lines
from tests.helpers.lines import whole


@pytest.mark.parametrize("block", [1, 2, 3, 100])
def test_a_file_is_cut_after_its_last_newline(tmp_path: Path, block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", synced.append)
    for number, letters in enumerate(letters for length in range(6) for letters in product(b"a\n", repeat=length)):
        content = bytes(letters)
        path = tmp_path / str(number)
        path.write_bytes(content)
        synced.clear()
        with open_for_append(path) as file:
            cut_torn_line(file, block)
            assert synced == ([] if content.endswith(b"\n") or not content else [file.fileno()])
            append_lines(file, [{"a": 1}])
        assert path.read_bytes() == content[: content.rfind(b"\n") + 1] + b'{"a": 1}\n'


def test_the_last_newline_is_looked_for_from_the_end_alone(tmp_path: Path) -> None:
    class Counted(FileIO):
        taken = 0

        def read(self, size: int = -1) -> bytes:
            found = super().read(size)
            self.taken += len(found)
            return found

    path = tmp_path / "file"
    path.write_bytes(b"x" * 10 + b"\n" + b"y" * 5)
    with Counted(path, "a+b") as file:
        cut_torn_line(file, 4)
        assert file.taken == 8
    assert path.read_bytes() == b"x" * 10 + b"\n"


def test_a_short_write_is_continued(tmp_path: Path) -> None:
    class Short(FileIO):
        def write(self, data: Any) -> int:
            return super().write(data[:3])

    with Short(tmp_path / "file", "ab") as file:
        append_lines(file, [{"a": 1}, {"b": "é"}])
        append_lines(file, [])
    assert (tmp_path / "file").read_bytes() == b'{"a": 1}\n{"b": "\\u00e9"}\n'


def test_a_half_written_line_on_a_full_disk_is_cut_off_and_the_file_named(tmp_path: Path) -> None:
    class Full(FileIO):
        room = 4

        def write(self, data: Any) -> int:
            if not self.room:
                raise OSError(28, "No space left on device")
            count, self.room = super().write(data[: self.room]), 0
            return count

    class Dying(Full):
        def truncate(self, size: int | None = None) -> int:
            raise OSError(5, "Input/output error")

    path = tmp_path / "file"
    path.write_bytes(b"{}\n")
    with Full(path, "ab") as file, pytest.raises(OSError, match="No space left") as error:
        append_lines(file, [{"a": 1}])
    assert error.value.filename == str(path)
    assert path.read_bytes() == b"{}\n"
    with Dying(tmp_path / "other", "ab") as file, pytest.raises(OSError, match="No space left"):
        append_lines(file, [{"a": 1}])
    with open_for_append(path) as file, pytest.raises(ValueError, match="not JSON compliant"):
        append_lines(file, [{"a": float("nan")}])


def test_lines_lost_in_a_power_cut_are_skipped_with_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setattr(journal_files, "warn_once", said.append)
    path = tmp_path / "file"
    path.write_bytes(b'{"a": 1}\n\0\0\0\n{"b": 2}\n{"torn": ')
    assert list(read_lines(path)) == [{"a": 1}, {"b": 2}]
    lost = "its record is lost, and decoded again where the run is continued"
    assert said == [f"{path}:2: the line holds NUL bytes only, as after a power cut: {lost}"]
    assert list(read_lines(tmp_path / "absent")) == []


@pytest.mark.parametrize(
    ("damaged", "line"),
    [
        (b"[1]", "expected a JSON object, got list"),
        (
            b"{1}",
            "expected a JSON object, the line is damaged (Expecting property name enclosed in double quotes: line 1 "
            "column 2 (char 1)); without this line only its own record is lost",
        ),
        (
            b"X",
            "expected a JSON object, the line is damaged (Expecting value: line 1 column 1 (char 0)); without this "
            "line only its own record is lost",
        ),
        (b"\xff", "expected a JSON object, the line is damaged ('utf-8' codec can't decode byte 0xff in position 0: "
                  "invalid start byte); without this line only its own record is lost"),
    ],
)  # fmt: skip
def test_a_damaged_line_is_named_by_file_and_number(tmp_path: Path, damaged: bytes, line: str) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"{}\n" + damaged + b"\n{}\n")
    with pytest.raises(InputError, match=whole(f"{path}:2: {line}")):
        list(read_lines(path))


def test_a_file_system_without_locks_is_written_to_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(descriptor: int, **_: bool) -> bool:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(filelock, "lock_descriptor", refused)
    with open_locked(tmp_path / "lines") as file:
        append_lines(file, [{"a": 1}])
    assert [*read_lines(tmp_path / "lines")] == [{"a": 1}]

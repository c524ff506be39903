"""Recognises a data file by its first bytes: opens and decompresses it, or refuses it with its actual kind."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

from drafters.errors import InputError

FORMATS = "JSON (one object per line, or one array), CSV or Parquet"
PARQUET = (".parquet", ".pq")
SEPARATORS = {".csv": ",", ".tsv": "\t"}
COMPRESSED = (".gz", ".bz2", ".xz")
#: Chosen by the first bytes, not by the file's name.
OPENERS: dict[bytes, Callable[..., Any]] = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ": lzma.open}
#: Other kinds of files, with the remedy.
FOREIGN = {
    b"version https://git-lfs": "a Git LFS pointer, not the data; run `git lfs pull` in its repository",
    b"PK\x03\x04": "a ZIP archive; unpack it and name the file inside",
    b"\x28\xb5\x2f\xfd": "compressed with zstd; decompress it, or use gzip, bzip2 or xz",
    b"ARROW1": "an Arrow file; write it as Parquet",
    b"\xff\xfe": "UTF-16 text; write it as UTF-8",
    b"\xfe\xff": "UTF-16 text; write it as UTF-8",
    b"<!doctype": "a web page, not the data; download the raw file",
    b"<html": "a web page, not the data; download the raw file",
}


def kind_of(path: Path) -> str:
    """The suffix of the file's format: `.parquet`, `.csv`, `.tsv`, or `.json` for anything else.

    Raises InputError if the path holds no data.
    """
    if not path.is_file():
        found = "a folder" if path.is_dir() else "none"
        raise InputError(f"dataset.path={path}: expected a file of {FORMATS}, found {found}")
    try:
        with path.open("rb") as file:
            start = file.read(64)
    except OSError as error:
        raise InputError(f"dataset.path={path}: cannot be read ({error.strerror})") from error
    for mark, what in FOREIGN.items():
        if start.lower().startswith(mark.lower()):
            raise InputError(f"dataset.path={path}: it is {what}")
    suffixes = [suffix.lower() for suffix in path.suffixes if suffix.lower() not in COMPRESSED]
    last = suffixes[-1] if suffixes else ""
    if start.startswith(b"PAR1") or last in PARQUET:
        return ".parquet"
    return last if last in SEPARATORS else ".json"


def open_text(path: Path) -> IO[str]:
    """The file's text, decompressed, without a byte order mark. Only line feeds end a line."""
    with path.open("rb") as file:
        start = file.read(8)
    opener = next((opener for mark, opener in OPENERS.items() if start.startswith(mark)), None)
    binary = path.open("rb") if opener is None else opener(path, "rb")
    return io.TextIOWrapper(binary, encoding="utf-8-sig", newline="\n")

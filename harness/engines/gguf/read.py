"""The header of a GGUF file: its keys and its tensors' names, shapes and types. No weight is read.

Arrays of more than KEPT values, which are vocabularies, are passed over and leave their length alone: a Gemma 4 file
has 262,144 tokens and half a million merges. The `gguf` package makes an array of each of them, which takes 44 s where
this reader takes 0.7 s (gguf 0.19, two cores of an AMD EPYC, 2026-11-28). Nor does inspection need the package so.
Source: ggml's description of the format, versions 2 and 3.
"""

from __future__ import annotations

import math
import mmap
import re
import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from drafters.checkpoints.files import reading
from drafters.errors import InputError

MAGIC, VERSIONS = b"GGUF", (2, 3)
KEPT = 4096
ALIGNMENT = 32
SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
STRING, ARRAY = 8, 9
MOST_DIMENSIONS = 4
#: llama.cpp's number of a tensor type -> its name, numbers per block, bytes per block.
TYPES = {
    0: ("F32", 1, 4), 1: ("F16", 1, 2), 2: ("Q4_0", 32, 18), 3: ("Q4_1", 32, 20), 6: ("Q5_0", 32, 22),
    7: ("Q5_1", 32, 24), 8: ("Q8_0", 32, 34), 9: ("Q8_1", 32, 40), 10: ("Q2_K", 256, 84), 11: ("Q3_K", 256, 110),
    12: ("Q4_K", 256, 144), 13: ("Q5_K", 256, 176), 14: ("Q6_K", 256, 210), 15: ("Q8_K", 256, 292),
    16: ("IQ2_XXS", 256, 66), 17: ("IQ2_XS", 256, 74), 18: ("IQ3_XXS", 256, 98), 19: ("IQ1_S", 256, 50),
    20: ("IQ4_NL", 32, 18), 21: ("IQ3_S", 256, 110), 22: ("IQ2_S", 256, 82), 23: ("IQ4_XS", 256, 136),
    24: ("I8", 1, 1), 25: ("I16", 1, 2), 26: ("I32", 1, 4), 27: ("I64", 1, 8), 28: ("F64", 1, 8),
    29: ("IQ1_M", 256, 56), 30: ("BF16", 1, 2), 34: ("TQ1_0", 256, 54), 35: ("TQ2_0", 256, 66),
    39: ("MXFP4", 32, 17), 40: ("NVFP4", 64, 36), 41: ("Q1_0", 128, 18),
}  # fmt: skip
PART = re.compile(r"-(\d{5})-of-(\d{5})\.gguf$")


class Long(NamedTuple):
    """An array that was passed over."""

    length: int


class Packed(NamedTuple):
    """A tensor as the header describes it: shape as in torch, the name of its type, and its place after the header."""

    shape: tuple[int, ...]
    type: str
    offset: int
    bytes: int | None  # None for a type that this reader does not know


@dataclass(frozen=True)
class Header:
    """What a file says about itself; of a file in parts, what all parts say together."""

    path: Path
    architecture: str
    values: dict[str, Any]
    tensors: dict[str, Packed]
    bytes: int
    parts: int = 1
    notes: list[str] = field(default_factory=list)

    def get(self, name: str, default: Any = None) -> Any:
        """The value of the architecture's key `name`, as `block_count`."""
        return self.values.get(f"{self.architecture}.{name}", default)

    def whole(self, name: str) -> int:
        """A whole number. Raises InputError where the file has none."""
        value = self.get(name)
        if isinstance(value, bool) or not isinstance(value, int):
            key = f"{self.architecture}.{name}"
            raise InputError(
                f"{self.path}: {key} is {'missing' if value is None else repr(value)}, expected a whole number"
            )
        return value

    def each(self, name: str, layers: int) -> list[int]:
        """A whole number for each of `layers` layers: the file gives one for all, or a list."""
        value = self.get(name)
        if not isinstance(value, list):
            return [self.whole(name)] * layers
        if len(value) < layers or not all(isinstance(one, int) for one in value):
            raise InputError(
                f"{self.path}: {self.architecture}.{name} has {len(value)} values, expected {layers} (block_count)"
            )
        return [int(one) for one in value[:layers]]


class Cut(ValueError):
    """The file ends before what its header promises."""


def is_gguf(path: Path) -> bool:
    """Whether `path` is a file that calls itself GGUF, by its ending or its first bytes."""
    if not path.is_file():
        return False
    if path.suffix.lower() == ".gguf":
        return True
    with path.open("rb") as stream:
        return stream.read(len(MAGIC)) == MAGIC


def read_header(path: Path, key: str) -> Header:
    """The header of `path`, with those of its other parts. Raises InputError that names `key` for a file that is
    missing, cut, damaged or not GGUF."""
    if not path.is_file():
        raise InputError(f"{key}: {path} is {'a folder' if path.is_dir() else 'missing'}, expected a GGUF file")
    header = _read_one(path, key)
    count = header.values.get("split.count", 0)
    if not isinstance(count, int) or count < 2:
        return header
    named = PART.search(path.name)
    if named is None or int(named[1]) != 1 or int(named[2]) != count:
        raise InputError(
            f"{key}: {path} is one of {count} parts, expected the name of the first, NAME-00001-of-{count:05}.gguf"
        )
    tensors, size = dict(header.tensors), header.bytes
    for number in range(2, count + 1):
        other = path.with_name(path.name[: named.start()] + f"-{number:05}-of-{count:05}.gguf")
        if not other.is_file():
            raise InputError(f"{key}: {other} is missing, part {number} of {count}")
        part = _read_one(other, key, header.architecture)
        tensors |= part.tensors
        size += part.bytes
    return Header(path, header.architecture, header.values, tensors, size, count)


def _read_one(path: Path, key: str, architecture: str = "") -> Header:
    with reading(path, key, "GGUF"):
        size = path.stat().st_size
        if size < 24:
            raise InputError(f"{key}: {path} is cut off, {size} bytes are here; download it again")
        try:
            with path.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:
                values, tensors, whole = _parse(data)
        except Cut as error:
            raise InputError(f"{key}: {path} is cut off{error}; download it again") from error
    if size < whole:
        raise InputError(f"{key}: {path} is cut off, {size} of {whole} bytes are here; download it again")
    named = values.get("general.architecture", architecture)
    if not isinstance(named, str) or not named:
        raise InputError(f"{key}: {path} has no general.architecture, which says what its tensors are")
    return Header(path, named, values, tensors, size)


class _Bytes:
    """A place in the file that moves on with what is read."""

    def __init__(self, data: mmap.mmap) -> None:
        self.data, self.at = data, 0

    def numbers(self, code: str, count: int = 1) -> tuple[Any, ...]:
        layout = f"<{count}{code}"
        begin = self.skip(struct.calcsize(layout))
        return struct.unpack_from(layout, self.data, begin)

    def skip(self, size: int) -> int:
        """Pass `size` bytes over; where they begin."""
        begin = self.at
        if size > len(self.data) - begin:
            raise Cut(f" inside its header, {len(self.data)} bytes are here")
        self.at += size
        return begin

    def text(self) -> str:
        (length,) = self.numbers("Q")
        begin = self.skip(length)
        try:
            return self.data[begin : self.at].decode("utf-8")
        except UnicodeDecodeError:
            raise ValueError(f"the text at byte {begin} is not UTF-8") from None

    def value(self, kind: int) -> Any:
        if kind == STRING:
            return self.text()
        if kind == ARRAY:
            inner, length = self.numbers("I")[0], self.numbers("Q")[0]
            return self._array(inner, length)
        if kind not in SCALARS:
            raise ValueError(f"a value of type {kind} before byte {self.at}, expected 0 to 12")
        return self.numbers(SCALARS[kind])[0]

    def _array(self, kind: int, length: int) -> Any:
        if kind in SCALARS:
            if length > KEPT:
                self.skip(struct.calcsize(f"<{SCALARS[kind]}") * length)
                return Long(length)
            return list(self.numbers(SCALARS[kind], length))
        if kind != STRING:
            raise ValueError(f"an array of type {kind} before byte {self.at}, expected numbers or texts")
        if length <= KEPT:
            return [self.text() for _ in range(length)]
        for _ in range(length):
            self.skip(self.numbers("Q")[0])
        return Long(length)


def _parse(data: mmap.mmap) -> tuple[dict[str, Any], dict[str, Packed], int]:
    """Values, tensors, and the bytes that the whole file has. Raises ValueError for what is no header."""
    at = _Bytes(data)
    if data[:4] != MAGIC:
        raise ValueError(f"it begins with {bytes(data[:4])!r}, expected {MAGIC!r}")
    at.skip(4)
    (version,) = at.numbers("I")
    if version not in VERSIONS:
        raise ValueError(f"version {version}, expected {' or '.join(map(str, VERSIONS))} with the low byte first")
    tensor_count, value_count = at.numbers("Q", 2)
    values: dict[str, Any] = {}
    for _ in range(value_count):
        name, (kind,) = at.text(), at.numbers("I")
        values[name] = at.value(kind)
    tensors: dict[str, Packed] = {}
    for _ in range(tensor_count):
        name, (dimensions,) = at.text(), at.numbers("I")
        if dimensions > MOST_DIMENSIONS:
            raise ValueError(f"{name} has {dimensions} dimensions, expected at most {MOST_DIMENSIONS}")
        shape = tuple(reversed(at.numbers("Q", dimensions))) if dimensions else ()
        (kind,), (offset,) = at.numbers("I"), at.numbers("Q")
        label, block, size = TYPES.get(kind, (f"type {kind}", 1, 0))
        tensors[name] = Packed(shape, label, offset, math.prod(shape) // block * size if size else None)
    align = values.get("general.alignment", ALIGNMENT)
    if not isinstance(align, int) or align < 1:
        raise ValueError(f"general.alignment is {align!r}, expected a whole number above 0")
    begin = -(-at.at // align) * align
    ends = [begin + tensor.offset + (tensor.bytes or 0) for tensor in tensors.values()]
    return values, tensors, max(ends, default=at.at)

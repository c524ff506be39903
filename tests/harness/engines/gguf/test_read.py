"""A GGUF's header is read without the weights, and what is no whole header is said in one line."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drafters.errors import InputError
from harness.engines.gguf.read import KEPT, TYPES, Long, is_gguf, read_header
from tests.helpers import gguf_bytes as packed

VALUES = {"general.architecture": "gemma4", "gemma4.block_count": 2, "gemma4.rope": 0.5, "gemma4.flags": [True, False]}
WHOLE = packed.pack(VALUES, {"token_embd.weight": (4, 32), "output_norm.weight": (32,)})


def test_values_and_tensors_are_those_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a.gguf"
    path.write_bytes(WHOLE)
    header = read_header(path, "PATH")
    assert header.values == VALUES
    assert header.architecture == "gemma4" and header.whole("block_count") == 2
    embedding = header.tensors["token_embd.weight"]
    assert (embedding.shape, embedding.type, embedding.bytes) == ((4, 32), "F32", 512)
    assert header.bytes == len(WHOLE)


@given(st.integers(0, len(WHOLE) - 1))
def test_every_cut_file_says_so(tmp_path_factory: pytest.TempPathFactory, length: int) -> None:
    path = tmp_path_factory.mktemp("cut") / "cut.gguf"
    path.write_bytes(WHOLE[:length])
    with pytest.raises(InputError, match=r"^PATH: \S+ is cut off.*download it again$"):
        read_header(path, "PATH")


@given(st.integers(0, len(WHOLE) - 600), st.integers(0, 255))
def test_a_changed_byte_gives_a_header_or_one_line(
    tmp_path_factory: pytest.TempPathFactory, place: int, byte: int
) -> None:
    path = tmp_path_factory.mktemp("damaged") / "damaged.gguf"
    path.write_bytes(WHOLE[:place] + bytes([byte]) + WHOLE[place + 1 :])
    try:
        read_header(path, "PATH")
    except InputError as error:
        assert "\n" not in str(error) and str(error).startswith("PATH: ")


def test_vocabularies_are_counted_and_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "a.gguf"
    long = {"words": ["word"] * (KEPT + 1), "numbers": [1] * (KEPT + 1)}
    path.write_bytes(packed.pack({**VALUES, **long}, {"a": (2, 2)}))
    header = read_header(path, "PATH")
    assert header.values["words"] == header.values["numbers"] == Long(KEPT + 1)
    assert list(header.tensors) == ["a"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"\x89PNG" + b"\0" * 64, "it begins with b'\\x89PNG', expected b'GGUF'"),
        (packed.pack(VALUES, {}, version=1), "version 1, expected 2 or 3"),
        (
            packed.pack({"general.alignment": 0, **VALUES}, {}),
            "general.alignment is 0, expected a whole number above 0",
        ),
        (packed.pack(VALUES, {"a": (1, 1, 1, 1, 1)}), "a has 5 dimensions, expected at most 4"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "a.gguf"
    path.write_bytes(content)
    with pytest.raises(InputError) as raised:
        read_header(path, "PATH")
    assert str(raised.value).startswith(f"PATH: {path} is no readable GGUF file: {said}")


def test_a_file_without_an_architecture_or_no_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.gguf"
    path.write_bytes(packed.pack({"general.name": "x"}, {}))
    with pytest.raises(InputError, match=r"has no general.architecture"):
        read_header(path, "PATH")
    with pytest.raises(InputError, match="is missing, expected a GGUF file"):
        read_header(tmp_path / "none.gguf", "PATH")
    with pytest.raises(InputError, match="is a folder, expected a GGUF file"):
        read_header(tmp_path, "PATH")


def test_parts_are_read_together(tmp_path: Path) -> None:
    first = tmp_path / "m-00001-of-00002.gguf"
    first.write_bytes(packed.pack({**VALUES, "split.count": 2}, {"a": (2, 2)}))
    with pytest.raises(InputError, match=r"m-00002-of-00002.gguf is missing, part 2 of 2"):
        read_header(first, "PATH")
    second = tmp_path / "m-00002-of-00002.gguf"
    second.write_bytes(packed.pack({"split.count": 2}, {"b": (2, 2)}))
    header = read_header(first, "PATH")
    assert set(header.tensors) == {"a", "b"} and header.parts == 2
    with pytest.raises(InputError, match=r"is one of 2 parts, expected the name of the first"):
        read_header(first.rename(tmp_path / "x.gguf"), "PATH")


def test_files_are_known_by_ending_or_beginning(tmp_path: Path) -> None:
    (tmp_path / "a.bin").write_bytes(WHOLE)
    (tmp_path / "b.gguf").write_bytes(b"")
    (tmp_path / "c.bin").write_bytes(b"{}")
    assert [is_gguf(tmp_path / name) for name in ("a.bin", "b.gguf", "c.bin", "none")] == [True, True, False, False]


def test_types_and_their_sizes_are_the_packages() -> None:
    gguf = pytest.importorskip("gguf")
    theirs = {int(kind): (kind.name, *size) for kind, size in gguf.GGML_QUANT_SIZES.items()}
    assert {number: TYPES.get(number) for number in theirs} == theirs

"""Reads a run's records back as two tables, and writes the rounds as Parquet after the run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from drafters.errors import InputError
from harness.records.files import GENERATIONS, ROUNDS, ROUNDS_JOURNAL, replace_file
from harness.records.journal import ROUND_COUNTS, ROUND_SECONDS, GenerationKey, key_of
from harness.records.journal_files import read_lines
from harness.records.stored import warn_once
from harness.vocabulary import HARNESS, OK

KEY = ("prompt_id", "turn", "arm", "repeat")
ROUND_COLUMNS = (*KEY, *ROUND_COUNTS, *ROUND_SECONDS)
# The sizes of the journals that a Parquet file was made from; if they differ, the file is out of date.
COVERS = b"harness_journal_bytes"
#: Columns that summaries use, with the value of a line that lacks one.
DEFAULTS: dict[str, Any] = {
    "prompt_id": "", "arm": "", "turn": 0, "repeat": 0, "process": 0, "batch_size": 1, "num_draft_tokens": 0,
    "prompt_tokens": 0,
    "dataset": "prompts", "category": "uncategorised", "status": OK, "finish_reason": None, "verdict": None,
    "engine": HARNESS, "error": None, "taint": None, "score": None, "thinking_tokens": None,
    "peak_memory_bytes": None, "prefill_s": 0.0, "decode_s": 0.0, "wall_share_s": None, "borrowed_from": None,
}  # fmt: skip
TEXTS = ("finish_reason", "verdict", "error", "taint", "borrowed_from")  # or None
INTEGERS = ("turn", "repeat", "process", "batch_size", "num_draft_tokens", "prompt_tokens")
NUMBERS = ("prefill_s", "decode_s", "wall_share_s", "peak_memory_bytes", "score", "thinking_tokens")
TYPES: dict[str, Any] = dict.fromkeys(TEXTS, "object") | dict.fromkeys(INTEGERS, "int64")
TYPES |= dict.fromkeys(NUMBERS, "float64")


def read_generations(run_dir: str | Path) -> pd.DataFrame:
    """One row per committed generation; the later line wins if a key was run again after an error.

    Columns as in `generations.jsonl`, with `dataset`, `category` and `turn` filled in if a line lacks them, and
    `new_tokens` = len(token_ids). Raises InputError for a damaged line.
    """
    return generations_frame(_committed(Path(run_dir)).values())


def generations_frame(lines: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    """The generations table from lines of `generations.jsonl` as dictionaries."""
    frame = pd.DataFrame(list(lines))
    return with_defaults(frame)


def with_defaults(generations: pd.DataFrame) -> pd.DataFrame:
    """A copy of the table with defaults in every column that summaries use."""
    size, index = len(generations), generations.index
    changed: dict[str, pd.Series] = {}
    for name, default in DEFAULTS.items():
        column = generations.get(name)
        if column is None:
            changed[name] = pd.Series([default] * size, index=index, dtype=TYPES.get(name, "object"))
            continue
        kept = column
        if default is not None and column.hasnans:
            column = column.where(column.notna(), default)
        if name in TYPES and column.dtype != TYPES[name]:
            column = column.astype(TYPES[name])
        if name in TEXTS and not all(one is None or isinstance(one, str) for one in column.tolist()):
            column = column.where(column.notna(), None)
        if column is not kept:
            changed[name] = column
    counted = generations.get("new_tokens")
    if counted is None:
        tokens: Any = generations["token_ids"] if "token_ids" in generations else [[]] * size
        lengths = [len(ids) if isinstance(ids, list | tuple | np.ndarray) else 0 for ids in tokens]
        changed["new_tokens"] = pd.Series(lengths, index=index, dtype="int64")
    elif counted.dtype != "int64":
        changed["new_tokens"] = counted.astype("int64")
    return generations.assign(**changed)


def read_rounds(run_dir: str | Path) -> pd.DataFrame:
    """One row per round of every committed generation, columns `ROUND_COLUMNS`.

    Taken from `rounds.parquet` when that covers the whole journal, otherwise from the journal itself.
    Raises InputError for a damaged line.
    """
    table = current_parquet(Path(run_dir))
    if table is None:
        table = _rounds_table(Path(run_dir))
    return table.to_pandas()


def write_rounds(run_dir: str | Path) -> Path:
    """Write `rounds.parquet` from the journal, atomically, unless it is whole and up to date; returns its path."""
    folder = Path(run_dir)
    path = folder / ROUNDS
    if current_parquet(folder) is None:
        table = _rounds_table(folder).replace_schema_metadata({COVERS: journal_bytes(folder)})
        sink = pa.BufferOutputStream()
        pq.write_table(table, sink, compression="zstd", write_page_checksum=True)
        replace_file(path, sink.getvalue().to_pybytes())
    return path


def journal_bytes(folder: Path) -> bytes:
    """The sizes of both journals. They only grow, so a file made from the same sizes is up to date."""
    sizes = [path.stat().st_size if path.exists() else 0 for path in (folder / GENERATIONS, folder / ROUNDS_JOURNAL)]
    return f"{sizes[0]},{sizes[1]}".encode()


def current_parquet(folder: Path) -> pa.Table | None:
    """The rounds in `rounds.parquet`; None if it is absent, older than its journal, or damaged.

    Raises InputError for a damaged file without a journal: the record itself is lost then.
    """
    path = folder / ROUNDS
    if not path.exists():
        return None
    # A run directory may be passed on without its journal.
    journalled = (folder / ROUNDS_JOURNAL).exists()
    try:
        with path.open("rb") as file:  # opened here: the library takes no path that is not UTF-8
            if journalled and (pq.read_schema(file).metadata or {}).get(COVERS) != journal_bytes(folder):
                return None
            table = pq.read_table(file, page_checksum_verification=True)
        return table.select(list(ROUND_COLUMNS))
    except (pa.ArrowException, OSError, KeyError, ValueError) as error:
        reason = str(error).strip().splitlines()
        damage = f"{path} is damaged ({reason[0] if reason else type(error).__name__})"
        if not journalled:
            raise InputError(f"{damage}, and there is no {ROUNDS_JOURNAL} to restore it from") from error
        warn_once(f"{damage}: the rounds are read from {ROUNDS_JOURNAL}")
        return None


def _committed(folder: Path) -> dict[GenerationKey, dict[str, Any]]:
    return {key_of(line): line for line in read_lines(folder / GENERATIONS)}


def _rounds_table(folder: Path) -> pa.Table:
    commits = {line.get("commit") for line in _committed(folder).values()}
    blocks = [line for line in read_lines(folder / ROUNDS_JOURNAL) if line["commit"] in commits]
    lengths = np.array([len(block["round"]) for block in blocks], dtype=np.int64)
    repeated = pa.array(np.repeat(np.arange(len(blocks), dtype=np.int32), lengths))
    keys = [key_of(block) for block in blocks]
    columns: dict[str, pa.Array] = {}
    for name, values in zip(KEY, zip(*keys, strict=True) if keys else ((),) * len(KEY), strict=True):
        kind = pa.string() if name in ("prompt_id", "arm") else pa.int32()
        spread = pa.array(list(values), kind).take(repeated)
        columns[name] = spread.dictionary_encode() if kind == pa.string() else spread
    for name in (*ROUND_COUNTS, *ROUND_SECONDS):
        dtype: Any = np.int32 if name in ROUND_COUNTS else np.float64
        parts = [np.asarray(block[name], dtype=dtype) for block in blocks]
        columns[name] = pa.array(np.concatenate(parts) if parts else np.empty(0, dtype=dtype))
    return pa.table(columns)

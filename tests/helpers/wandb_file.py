"""Reads what wandb wrote offline: its `.wandb` file is a log of records in LevelDB's framing."""

from __future__ import annotations

import json
import struct
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

BLOCK, FILE_HEADER, CHUNK_HEADER = 32768, 7, 7
FULL, FIRST, MIDDLE, LAST = 1, 2, 3, 4


def records(path: Path) -> Iterator[Any]:
    """Every record of one `.wandb` file, in order; one that is still being written is none yet."""
    from wandb.proto import wandb_internal_pb2 as pb  # a second, which a process that only collects tests does not pay

    data, at, pending = path.read_bytes(), FILE_HEADER, b""
    while at + CHUNK_HEADER <= len(data):
        left = BLOCK - at % BLOCK
        if left < CHUNK_HEADER:
            at += left
            continue
        _, length, kind = struct.unpack("<IHB", data[at : at + CHUNK_HEADER])
        if kind not in (FULL, FIRST, MIDDLE, LAST):
            at += left
            continue
        if at + CHUNK_HEADER + length > len(data):
            return
        pending += data[at + CHUNK_HEADER : at + CHUNK_HEADER + length]
        at += CHUNK_HEADER + length
        if kind in (FULL, LAST):
            record = pb.Record()
            record.ParseFromString(pending)
            pending = b""
            yield record


@dataclass
class Written:
    """What one offline run holds."""

    run: Any = None
    summary: dict[str, Any] = field(default_factory=dict)
    config: dict[str, Any] = field(default_factory=dict)
    history: dict[str, Any] = field(default_factory=dict)  # the last value of each key; nested ones joined by slashes
    rows: list[dict[str, Any]] = field(default_factory=list)  # of the history, in order, without wandb's own keys
    axes: dict[str, str] = field(default_factory=dict)  # the step metric of each key, or of each pattern
    hidden: set[str] = field(default_factory=set)
    artifact: str | None = None
    aliases: list[str] = field(default_factory=list)
    artifact_files: list[str] = field(default_factory=list)
    exit_code: int | None = None


def read_back(folder: Path, patience_s: float = 60.0) -> list[Written]:
    """Every offline run below `folder`, oldest first.

    `finish` returns before wandb's own process has written the last records, so this waits for them.
    """
    deadline = time.monotonic() + patience_s
    while True:
        found = [_read(path) for path in sorted(folder.rglob("run-*.wandb"))]
        if all(one.exit_code is not None for one in found) or time.monotonic() > deadline:
            return found
        time.sleep(0.1)


def _read(path: Path) -> Written:
    found = Written()
    for record in records(path):
        kind = record.WhichOneof("record_type")
        if kind == "run":
            found.run = record.run
            found.config |= {item.key: json.loads(item.value_json) for item in record.run.config.update}
        elif kind == "summary":
            found.summary |= {_key(item): json.loads(item.value_json) for item in record.summary.update}
        elif kind == "history":
            row = {_key(item): json.loads(item.value_json) for item in record.history.item}
            found.history |= row
            found.rows.append({name: value for name, value in row.items() if not name.startswith("_")})
        elif kind == "metric":
            name = record.metric.name or record.metric.glob_name
            if record.metric.step_metric:
                found.axes[name] = record.metric.step_metric
            if record.metric.options.hidden:
                found.hidden.add(name)
        elif kind == "artifact":
            _take(found, record.artifact)
        elif kind == "request" and record.request.WhichOneof("request_type") == "log_artifact":
            _take(found, record.request.log_artifact.artifact)
        elif kind == "exit":
            found.exit_code = record.exit.exit_code
    return found


def _take(found: Written, artifact: Any) -> None:
    if artifact.type in ("run", "leaderboard"):  # and no table of wandb's own
        found.artifact, found.aliases = artifact.name, list(artifact.aliases)
        found.artifact_files = [entry.path for entry in artifact.manifest.contents]


def _key(item: Any) -> str:
    return item.key or "/".join(item.nested_key)

"""Compares the target's logits in wide passes with those of one token at a time, on which the verifier rests.

A pass of k+1 tokens may round differently from a pass of one, and near-ties then flip. The probe runs the same prefix
both ways and keeps the distance between the logits, which explains ties in the verdicts.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path

import torch
from torch import Tensor

from harness.metrics.losslessness import width_probe
from harness.records.files import replace_file
from harness.target.target import Target

WIDTH_PROBE = "width_probe.json"


@torch.inference_mode()
def logits_of_tail(target: Target, tokens: Sequence[int], tail: int, width: int) -> Tensor:
    """Logits [tail, V] at the last `tail` of `tokens`, decoded in passes of `width` after one prefill of the rest."""
    ids = torch.tensor([list(tokens)], device=target.device)
    positions = torch.arange(len(tokens), device=target.device)[None]
    cache = target.new_cache(1, len(tokens), max(width, 1))
    begin, rows = len(tokens) - tail, []
    target.run(cache, ids[:, :begin], positions[:, :begin])
    for start in range(begin, len(tokens), width):
        end = min(start + width, len(tokens))
        seen = target.run(cache, ids[:, start:end], positions[:, start:end])
        rows.append(target.logits(seen.hidden[0]))
    return torch.cat(rows)


def probe_widths(target: Target, tokens: Sequence[int], widths: Iterable[int]) -> dict[str, dict[str, object]]:
    """One width probe per verify width over the end of a prompt's `tokens`, by width."""
    probes: dict[str, dict[str, object]] = {}
    for width in sorted({width for width in widths if 1 < width < len(tokens)}):
        one = logits_of_tail(target, tokens, width, 1)
        wide = logits_of_tail(target, tokens, width, width)
        if bool((one.isfinite() & wide.isfinite()).all()):
            probes[str(width)] = asdict(width_probe(one, wide, str(target.dtype)))
        else:  # the arms fail on them, each with a row that says so
            probes[str(width)] = {"reason": "the target's logits are not finite"}
    return probes


def write_width_probe(run_dir: Path, target: Target, tokens: Sequence[int], widths: Iterable[int]) -> None:
    """Keep the probes beside the records."""
    replace_file(run_dir / WIDTH_PROBE, json.dumps(probe_widths(target, tokens, widths), indent=1) + "\n")

"""Shapes, dtypes and values of a proposal, as the verifier reads them."""

from __future__ import annotations

import torch
from torch import Tensor

from drafters.base import Proposal
from harness.decoding.contract.subject import Seen, Subject, Watched, parts_of


class Misshapen(Exception):
    """A proposal that no verifier can read."""


def misshapen(subject: Subject) -> str | None:
    """The first wrong shape or value in proposals for short answers, greedy and sampled, alone and in a batch."""
    for k in subject.widths:
        for temperature in (0.0, 1.0):
            for prompts in (subject.prompts[:1], subject.prompts[:2]):
                rows = len(prompts)

                def look(seen: Seen, k: int = k, rows: int = rows) -> None:
                    fault = fault_of(seen.proposal, rows, k, subject)
                    if fault:
                        raise Misshapen(f"k={k}, {rows} rows: {fault}")

                drafter = Watched(subject.make(), look=look)
                options = {"num_draft_tokens": k, "temperature": temperature, "max_new_tokens": k + 6}
                try:
                    subject.decode_together(drafter, prompts, **options)
                except Misshapen as error:
                    return str(error)
    return None


def fault_of(proposal: Proposal, rows: int, k: int, subject: Subject) -> str | None:
    """The first wrong shape, dtype, device or value of a proposal for so many rows."""
    vocabulary = subject.target.vocab_size
    if not isinstance(proposal, Proposal):
        return f"propose gives a {type(proposal).__name__}, not a Proposal"
    shapes = {"tokens": (rows, k), "probs": (rows, k, vocabulary), "count": (rows,), "finite": (rows, k)}
    for (name, shape), part in zip(shapes.items(), parts_of(proposal), strict=True):
        if part is None and name != "tokens":
            continue
        if not isinstance(part, Tensor):
            return f"{name} is a {type(part).__name__}, not a tensor"
        if tuple(part.shape) != shape:
            return f"{name} has shape {list(part.shape)}, not {list(shape)}"
        if part.device != subject.target.device:
            return f"{name} is on {part.device}, not on {subject.target.device}"
        if (fault := dtype_fault(name, part)) is not None:
            return fault
    tokens, probs, count, _ = parts_of(proposal)
    assert tokens is not None
    if int(tokens.min()) < 0 or int(tokens.max()) >= vocabulary:
        wrong = int(tokens.min()) if int(tokens.min()) < 0 else int(tokens.max())
        return f"the draft {wrong} is no token from 0 to {vocabulary - 1}"
    if count is not None and (int(count.min()) < 0 or int(count.max()) > k):
        return f"count is {count.tolist()}, not from 0 to {k}"
    if probs is not None and bool((probs < 0).any()):
        return f"probs holds {float(probs.min()):.3g}"
    if probs is not None and not torch.allclose(
        probs.double().sum(dim=-1), torch.ones(rows, k, dtype=torch.float64, device=probs.device), atol=1e-2
    ):
        return f"probs sums to {float(probs.double().sum(dim=-1)[0, 0]):.4f}"
    return None


def dtype_fault(name: str, part: Tensor) -> str | None:
    allowed = {
        "tokens": part.dtype == torch.long,
        "probs": part.dtype.is_floating_point,
        "count": not part.dtype.is_floating_point and part.dtype != torch.bool,
        "finite": part.dtype == torch.bool,
    }
    return None if allowed[name] else f"{name} is {str(part.dtype).removeprefix('torch.')}"

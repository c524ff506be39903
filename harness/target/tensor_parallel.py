"""Splits a target's layers over the processes of torchrun, by transformers' own plan.

Every process runs the whole loop on its part of the heads and of the MLPs; transformers sums over processes. Hidden
states and logits come out whole everywhere, keys and values by heads.

Private parts of transformers (tested with 5.24): a split embedding has a `forward` of its own in its `__dict__`.
`whole_embedding` removes it from a copy; were it kept elsewhere, the copy would still sum over processes, and drafts
would be wrong, at the cost of speed only.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
import torch.distributed as distributed
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from drafters.errors import InputError
from drafters.geometry import kv_geometry, text_config
from harness.config.checks import from_environment


def loading(plan: str, raw: dict[str, Any]) -> dict[str, Any]:
    """The options of `from_pretrained` for `target.tp_plan`, with `raw` the target's config.json.

    Raises InputError outside torchrun, and where the processes cannot share a layer's heads.
    """
    from transformers.distributed import DistributedConfig

    count = from_environment("WORLD_SIZE", 1, least=1)
    if count < 2:
        raise InputError(
            f"target.tp_plan is {plan!r} in a single process, expected torchrun --nproc-per-node 2 or more; "
            "target.device_map=auto spreads a target from one process"
        )
    config = text_config(raw)
    heads = {"attention": int(config.get("num_attention_heads") or count)}
    heads |= {f"{kind} key/value": found for kind, (_, found) in kv_geometry(config).items()}
    for what, found in heads.items():
        if found % count:
            raise InputError(
                f"target.tp_plan over {count} processes: this target has {found} {what} heads, expected a multiple of "
                f"{count}; use as many processes as divide them, or target.device_map=auto in one process"
            )
    return {"distributed_config": DistributedConfig(tp_plan=plan)}


def processes_of(model: Any) -> int:
    """Number of processes that share `model`."""
    return int(getattr(model, "tp_size", None) or 1)


def local_rows(weight: Tensor) -> int:
    """Rows of `weight` that this process holds."""
    return weight.to_local().shape[0] if isinstance(weight, DTensor) else weight.shape[0]


def whole_embedding(embed: nn.Embedding) -> nn.Embedding:
    """`embed` with all of its rows here, as drafters read it; itself where nothing is split."""
    if not isinstance(embed.weight, DTensor):
        return embed
    whole = copy.copy(embed)
    whole.__dict__.pop("forward", None)  # transformers' own, which looks up this process's rows and sums
    whole._parameters = {"weight": nn.Parameter(embed.weight.full_tensor(), requires_grad=False)}
    return whole


def all_heads(part: Tensor) -> Tensor:
    """This process's heads of keys or values [B, heads, S, D], joined with those of the others in their order."""
    parts = [torch.empty_like(part) for _ in range(distributed.get_world_size())]
    distributed.all_gather(parts, part.contiguous())
    return torch.cat(parts, dim=1)

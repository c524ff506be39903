"""The training loop that target, MTP and DFlash share: optimiser, progress, checkpoints, resume.

A checkpoint holds weights, optimiser, random states and the place in the data, so that a killed run continues on the
same loss curve. Matrices are trained with Muon (momentum made orthogonal; https://kellerjordan.github.io/posts/muon/),
everything else with AdamW.
"""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from drafters.errors import InputError
from harness.records.progress import RunProgress
from harness.target.devices import parse_device
from harness.training.data import Batches, TrainingBatch
from harness.training.muon import Muon
from harness.training.settings import LoopSettings

CHECKPOINT = "checkpoint.pt"
LOSSES = "losses.jsonl"


def make_optimizers(module: nn.Module, settings: LoopSettings, precision: str) -> list[torch.optim.Optimizer]:
    """Muon for the hidden matrices, AdamW for embeddings, norms and vectors."""
    named = [(n, p) for n, p in module.named_parameters() if p.requires_grad]
    matrices = [p for n, p in named if p.ndim == 2 and "embed" not in n and "lm_head" not in n]
    chosen = {id(p) for p in matrices}
    others = [p for _, p in named if id(p) not in chosen]
    optimizers: list[torch.optim.Optimizer] = []
    if matrices:
        dtype = torch.bfloat16 if precision == "bf16" else torch.float32
        optimizers.append(Muon(matrices, settings.learning_rate, settings.weight_decay, dtype=dtype))
    if others:
        optimizers.append(torch.optim.AdamW(others, lr=settings.learning_rate, betas=(0.9, 0.98), weight_decay=0.0))
    return optimizers


def _save(path: Path, state: dict[str, Any]) -> None:
    part = path.with_suffix(".part")
    torch.save(state, part)
    os.replace(part, path)


class Reached(NamedTuple):
    """The state of a run: steps done, seconds and tokens spent, mean loss."""

    step: int = 0
    seconds: float = 0.0
    loss: float = 0.0  # a running mean
    tokens: int = 0


def _resume(folder: Path, module: nn.Module, optimizers: list[torch.optim.Optimizer], batches: Batches) -> Reached:
    path = folder / CHECKPOINT
    if not path.exists():
        (folder / LOSSES).unlink(missing_ok=True)
        return Reached()
    state = torch.load(path, map_location="cpu", weights_only=True)
    module.load_state_dict(state["module"], strict=False)  # frozen parts are not kept in a checkpoint
    for optimizer, saved in zip(optimizers, state["optimizers"], strict=True):
        optimizer.load_state_dict(saved)
    batches.load_state(state["batches"])
    torch.set_rng_state(state["rng"])
    lines = (folder / LOSSES).read_text(encoding="utf-8").splitlines()
    kept = "".join(f"{line}\n" for line in lines if json.loads(line)["step"] < state["step"])
    (folder / LOSSES).write_text(kept, encoding="utf-8")
    return Reached(int(state["step"]), float(state["seconds"]), float(state["loss"]), int(state["tokens"]))


def train(
    module: nn.Module,
    loss_of: Callable[[TrainingBatch], tuple[Tensor, dict[str, Tensor]]],
    batches: Batches,
    settings: LoopSettings,
    folder: Path,
    name: str,
) -> dict[str, float]:
    """Train `module` in place to `settings.steps` steps; return the last mean loss, the seconds and the tokens spent.

    `loss_of` gets a batch on the device and returns the loss and figures to log. Checkpoints and `losses.jsonl` go to
    `folder`; a run that finds a checkpoint there continues from it. Raises InputError for a loss that is not finite.
    """
    folder.mkdir(parents=True, exist_ok=True)
    precision = settings.chosen_precision()
    on_cpu = parse_device(settings.device).type == "cpu"
    accelerator = Accelerator(cpu=on_cpu, mixed_precision="bf16" if precision == "bf16" else "no")
    torch.manual_seed(settings.seed)
    module.to(accelerator.device)
    optimizers = make_optimizers(module, settings, precision)
    step, before, mean, tokens = _resume(folder, module, optimizers, batches)
    for optimizer in optimizers:
        for group in optimizer.param_groups:  # a continued run may set another rate than its checkpoint
            group["base_lr"] = settings.learning_rate
    tracker = _start_tracker(settings, name)
    trainable = [p for p in module.parameters() if p.requires_grad]
    kept = {n for n, p in module.named_parameters() if p.requires_grad}
    started = saved = time.monotonic()
    module.train()
    with (folder / LOSSES).open("a", encoding="utf-8") as log, RunProgress(settings.steps, unit="steps") as progress:
        progress.skip(step)
        progress.show(name)
        while step < settings.steps:
            batch = next(batches).to(accelerator.device)
            for optimizer in optimizers:
                for group in optimizer.param_groups:
                    group["lr"] = group["base_lr"] * settings.rate(step)
            with accelerator.autocast():
                loss, figures = loss_of(batch)
            accelerator.backward(loss)
            nn.utils.clip_grad_norm_(trainable, settings.clip_norm)
            for optimizer in optimizers:
                optimizer.step()
                optimizer.zero_grad(set_to_none=True)
            value = float(loss.detach())
            if not math.isfinite(value):
                raise InputError(
                    f"{name}: the loss is {value} at step {step}, expected a finite number; lower learning_rate or set "
                    f"precision=fp32, and the same command goes on from the last checkpoint in {folder}"
                )
            tokens += int(batch.lengths.sum())
            mean = value if step == 0 or not mean else 0.95 * mean + 0.05 * value
            row = {"step": step, "loss": value, **{k: float(v) for k, v in figures.items()}}
            log.write(json.dumps(row) + "\n")
            step += 1
            progress.advance()
            if step % settings.log_every == 0:
                shown = {"loss": f"{mean:.4f}", **{k: f"{float(v):.3f}" for k, v in figures.items()}}
                progress.show(f"{name}: " + ", ".join(f"{k} {v}" for k, v in shown.items()))
                log.flush()
                if tracker is not None:
                    tracker.log(row, step=step)
            if step == settings.steps or time.monotonic() - saved > settings.save_every_s:
                log.flush()
                state = {n: v for n, v in module.state_dict().items() if n in kept}
                _save(
                    folder / CHECKPOINT,
                    {
                        "module": state, "optimizers": [o.state_dict() for o in optimizers], "batches": batches.state(),
                        "rng": torch.get_rng_state(), "step": step,
                        "seconds": before + time.monotonic() - started,
                        "loss": mean, "tokens": tokens,
                    },
                )  # fmt: skip
                saved = time.monotonic()
    if tracker is not None:
        tracker.finish()
    module.eval()
    return {"loss": mean, "seconds": before + time.monotonic() - started, "tokens": float(tokens), "steps": float(step)}


def _start_tracker(settings: LoopSettings, name: str) -> Any:
    """A Weights & Biases run if `tracking` asks for one; wandb is imported only then."""
    if settings.tracking == "none":
        return None
    import wandb

    return wandb.init(project="drafthouse-training", name=name, config={"steps": settings.steps, "seed": settings.seed})

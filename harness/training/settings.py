"""The settings of the training loop, checked before anything is loaded."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from drafters.errors import InputError
from harness.config.checks import at_least, check_seed
from harness.target.devices import parse_device


@dataclass
class LoopSettings:
    """Steps, batches, learning rate and precision of one training loop.

    The rate rises over `warmup_steps`, stays, and falls linearly to zero over the last `decay_fraction` of `steps`, so
    that a longer run can start from any checkpoint before the fall.
    """

    steps: int = 1000
    batch_tokens: int = 8192
    learning_rate: float = 3e-3
    warmup_steps: int = 50
    decay_fraction: float = 0.3
    weight_decay: float = 0.01
    clip_norm: float = 1.0
    precision: str = "auto"  # bf16 if the device has units for it, else fp32
    device: str = "cpu"
    seed: int = 0
    save_every_s: float = 120.0
    log_every: int = 20
    max_length: int = 640
    tracking: str = "none"

    def check(self, name: str) -> None:
        """Raises InputError that names the key; `name` is the settings' own key in the configuration."""
        for key in ("steps", "batch_tokens", "log_every", "max_length"):
            if getattr(self, key) < 1:
                raise InputError(f"{name}.{key} is {getattr(self, key)}: expected at least 1")
        check_seed(self.seed, f"{name}.seed")
        for key in ("warmup_steps", "weight_decay", "clip_norm", "save_every_s"):
            at_least(getattr(self, key), 0, f"{name}.{key}")
        if not 0 < self.learning_rate < math.inf:
            raise InputError(f"{name}.learning_rate is {self.learning_rate}: expected more than 0")
        if not 0 < self.decay_fraction <= 1:
            raise InputError(f"{name}.decay_fraction is {self.decay_fraction}: expected a share in (0, 1]")
        if self.precision not in ("auto", "bf16", "fp32"):
            raise InputError(f"{name}.precision is {self.precision!r}: expected 'auto', 'bf16' or 'fp32'")
        if self.tracking not in ("none", "wandb"):
            raise InputError(f"{name}.tracking is {self.tracking!r}: expected 'none' or 'wandb'")
        parse_device(self.device, f"{name}.device")

    def rate(self, step: int) -> float:
        """The share of the learning rate at a step."""
        if step < self.warmup_steps:
            return (step + 1) / self.warmup_steps
        left = (self.steps - step) / max(1.0, self.steps * self.decay_fraction)
        return min(1.0, max(0.0, left))

    def chosen_precision(self) -> str:
        """`bf16` or `fp32`: a CPU without bf16 units runs bf16 some sixty times slower."""
        if self.precision != "auto":
            return self.precision
        if parse_device(self.device).type != "cpu":
            return "bf16"
        able = torch.cpu.get_capabilities()
        return "bf16" if able.get("avx512_bf16") or able.get("amx_bf16") else "fp32"

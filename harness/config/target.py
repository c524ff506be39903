"""`target`: the model that every arm must reproduce, and the small ones that ship with the harness."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from omegaconf import OmegaConf

from drafters.errors import InputError
from harness.config.checks import one_of
from harness.config.synthetic import CHECKPOINT, RANDOM, WEIGHTS
from harness.vocabulary import ASSETS

#: Targets that ship with the harness, by name, and their folders in the assets.
EMBEDDED = {"embedded": "target", "embedded_e2b": "e2b/target"}
AUTO = "auto"
MOST_THREADS = 4096
DTYPES = (AUTO, "float32", "bfloat16", "float16", "float64")


def asset(name: str) -> str:
    """Path of a file or folder that ships with the harness: `target`, `mtp`, `dflash`, `prompts.jsonl`."""
    return str(ASSETS / name)


OmegaConf.register_new_resolver("asset", asset, replace=True)


def check_threads(value: Any) -> None:
    """Raises InputError unless `value` is auto or a number of threads."""
    is_number = isinstance(value, int) and not isinstance(value, bool)
    if value != AUTO and not (is_number and 1 <= value <= MOST_THREADS):
        raise InputError(f"target.threads={value}: expected auto, or a number from 1 to {MOST_THREADS}")


@dataclass
class TargetConfig:
    """The model whose output every arm must reproduce.

    `gguf` is the file of its weights for llama.cpp (null: one made from `path`, whose tokenizer is used in any case).
    `weights` is checkpoint, or random: the shapes of `path` where that is a folder, else those published for `name`,
    with random weights (harness.target.random_weights); drafters are then random too, unless their block says
    otherwise. `drafters` are the checkpoints by kind for arms without a path, `known` further ones with a description.
    `device_map`, `tp_plan` and `quantization` are passed on to transformers: several devices or offloading
    (accelerate), tensor parallel (torchrun), a quantization config. `threads` are those of passes on a CPU, a number or
    auto: the number that decodes fastest (harness.comparison.threads). `context_lengths` are the prompt lengths of
    experiment=context_length.
    """

    name: str = "path"
    path: str | None = None
    gguf: str | None = None
    weights: str = CHECKPOINT
    revision: str | None = None
    dtype: str = "auto"
    device: str = "auto"
    device_map: Any = None
    tp_plan: str | None = None
    quantization: dict[str, Any] | None = None
    drafters: dict[str, str] = field(default_factory=dict)
    known: dict[str, dict[str, str]] = field(default_factory=dict)
    threads: Any = AUTO
    context_lengths: str = ""

    def __post_init__(self) -> None:
        if not self.path:
            raise InputError("target.path is empty: expected a checkpoint folder or a hub id")
        one_of(self.dtype, DTYPES, "target.dtype")
        one_of(self.weights, WEIGHTS, "target.weights")
        check_threads(self.threads)
        for key in ("device_map", "tp_plan", "quantization"):
            if self.weights == RANDOM and getattr(self, key) is not None:
                raise InputError(f"target.{key} with target.weights=random: expected null, as one device holds them")
        if self.device_map is not None and self.tp_plan is not None:
            raise InputError("target.device_map and target.tp_plan are both set, expected one of them")

    @property
    def loading(self) -> dict[str, Any]:
        """Arguments for loading the target besides path, device and dtype."""
        wanted = {
            "revision": self.revision,
            "device_map": self.device_map,
            "tp_plan": self.tp_plan,
            "quantization_config": self.quantization,
        }
        return {name: value for name, value in wanted.items() if value is not None}

    @property
    def is_embedded(self) -> bool:
        return self.name in EMBEDDED and self.path == asset(EMBEDDED[self.name])

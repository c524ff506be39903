"""The training configuration: typed and checked once, before anything is loaded."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from hydra.core.config_store import ConfigStore
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from drafters.errors import InputError
from harness.config.checks import check_seed, count, only_numbers
from harness.training.answers import AnswerSettings
from harness.training.dflash import DFlashShape
from harness.training.mtp import MTPShape
from harness.training.settings import LoopSettings
from harness.training.target import TargetShape

#: Sizes that may be 0.
MAY_BE_NONE = ("kv_shared_layers", "per_layer_size")
RECIPES = ("target", "mtp", "dflash", "pair")


@dataclass
class TokenizerSettings:
    """The size of the embedded target's tokenizer, and of its training text."""

    vocab_size: int = 1024
    chats: int = 20_000


@dataclass
class TargetSource:
    """An existing target to train drafters for; `path` null takes the one trained in `output_dir`."""

    path: str | None = None
    dtype: str = "float32"


@dataclass
class TrainConfig:
    """One run of `python -m harness.train`."""

    recipe: str = "pair"
    output_dir: str = "outputs/train"
    seed: int = 0
    threads: int | None = None
    compile: bool = True
    prompt_weight: float = 0.1  # weight of prompt tokens in the target's loss
    hard_share: float = 0.5  # drafters: weight of the loss on the greedy token; the rest is on the distribution
    quality_prompts: int = 24  # held-out prompts per kind for the model cards' figures; 0 for no cards
    tokenizer: TokenizerSettings = field(default_factory=TokenizerSettings)
    source: TargetSource = field(default_factory=TargetSource)
    shape: TargetShape = field(default_factory=TargetShape)
    target_loop: LoopSettings = field(default_factory=LoopSettings)
    drafter_loop: LoopSettings = field(default_factory=LoopSettings)
    answers: AnswerSettings = field(default_factory=AnswerSettings)
    mtp: MTPShape = field(default_factory=MTPShape)
    dflash: DFlashShape = field(default_factory=DFlashShape)

    def __post_init__(self) -> None:
        check_seed(self.seed)
        only_numbers(asdict(self), "")
        for name, sizes in (("shape", self.shape), ("mtp", self.mtp), ("dflash", self.dflash)):
            for key, value in asdict(sizes).items():
                if isinstance(value, int) and not isinstance(value, bool):
                    count(value, f"{name}.{key}", 0 if key in MAY_BE_NONE else 1)
        count(self.threads, "threads")
        count(self.tokenizer.chats, "tokenizer.chats")
        count(self.quality_prompts, "quality_prompts", 0)
        self.target_loop.check("target_loop")
        self.drafter_loop.check("drafter_loop")
        if self.recipe not in RECIPES:
            raise InputError(f"recipe={self.recipe}: expected one of {', '.join(RECIPES)}")
        if self.recipe == "pair" and self.source.path:
            raise InputError("source.path is set, but recipe=pair trains its own target: expected recipe=mtp or dflash")
        for key in ("prompt_weight", "hard_share"):
            if not 0 <= getattr(self, key) <= 1:
                raise InputError(f"{key}={getattr(self, key)}: expected a share in [0, 1]")


# The base of conf/train/train.yaml, so that every key can be overridden without being listed in the file.
ConfigStore.instance().store("train_schema", TrainConfig)


def read_train_config(composed: DictConfig | dict[str, Any]) -> TrainConfig:
    """Check a composed configuration. Raises InputError with one line that names the key."""
    try:
        config = OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(TrainConfig), composed))
    except OmegaConfBaseException as error:
        raise InputError(str(error).splitlines()[0]) from error
    assert isinstance(config, TrainConfig)
    return config

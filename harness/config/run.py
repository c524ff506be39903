"""The run's configuration: typed, checked once, before anything is loaded.

Hydra composes `conf/` and rejects unknown overrides; `read_config` turns the result into these dataclasses, whose
checks name the value, what was expected and the key to change.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import ConfigKeyError, OmegaConfBaseException

from harness.config.arms import Arm as Arm
from harness.config.arms import Defaults, read_arm
from harness.config.calibration import CalibrationConfig
from harness.config.checks import LEAST_TEMPERATURE, at_least, check_seed, count, is_temperature, one_of, only_numbers
from harness.config.engine import EngineConfig
from harness.config.rows import RowConfig, SourceConfig
from harness.config.scoring import SCORERS, ScoringConfig
from harness.config.synthetic import CHECKPOINT, RANDOM, WEIGHTS, check_rates, label
from harness.errors import InputError
from harness.tasks.files import name_of
from harness.vocabulary import ASSETS, BASELINE, EXECUTIONS, VERIFICATIONS

#: Targets that come with the harness, by name, and their folders in the assets.
EMBEDDED = {"embedded": "target", "embedded_e2b": "e2b/target"}
DTYPES = ("auto", "float32", "bfloat16", "float16", "float64")
MOST_RANDOM_TOKENS = 100_000_000  # some gigabytes of text
TRACKERS = ("none", "wandb")
TRACKING_MODES = ("auto", "online", "offline")


def asset(name: str) -> str:
    """Path of something that ships with the harness: `target`, `mtp`, `dflash`, `prompts.jsonl`."""
    return str(ASSETS / name)


OmegaConf.register_new_resolver("asset", asset, replace=True)


@dataclass
class TargetConfig:
    """The model whose output every arm must reproduce.

    `weights` is checkpoint, or random: the shapes of `path` where that is a folder, else those published for `name`,
    with random weights (harness.target.random_weights); drafters then are random too unless they say otherwise.
    `drafters` names the drafters that an arm takes by itself, `known` further ones, each with what it is. `device_map`,
    `tp_plan` and `quantization` go to transformers as they stand: several devices or offloading (accelerate), tensor
    parallel (torchrun), a quantization config. `context_lengths` is what the sweep over prompt lengths takes.
    """

    name: str = "path"
    path: str | None = None
    weights: str = CHECKPOINT
    revision: str | None = None
    dtype: str = "auto"
    device: str = "auto"
    device_map: Any = None
    tp_plan: str | None = None
    quantization: dict[str, Any] | None = None
    drafters: dict[str, str] = field(default_factory=dict)
    known: dict[str, dict[str, str]] = field(default_factory=dict)
    context_lengths: str = ""

    def __post_init__(self) -> None:
        if not self.path:
            raise InputError("target.path is empty: expected a checkpoint folder or a hub id")
        one_of(self.dtype, DTYPES, "target.dtype")
        one_of(self.weights, WEIGHTS, "target.weights")
        for key in ("device_map", "tp_plan", "quantization"):
            if self.weights == RANDOM and getattr(self, key) is not None:
                raise InputError(f"target.{key} with target.weights=random: expected null, as one device holds them")
        if self.device_map is not None and self.tp_plan is not None:
            raise InputError("target.device_map and target.tp_plan are both set, expected one of them")

    @property
    def loading(self) -> dict[str, Any]:
        """What loading the target takes besides path, device and dtype."""
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


@dataclass
class DatasetConfig:
    """Where prompts come from and how they are rendered. `thinking` None leaves the template at its own default.

    A local file in `path` comes first, else `prompts` written out in the config, else the publisher's `source`; or
    `random_tokens` makes `limit` prompts of `context_tokens` random token ids, which need no tokenizer. Otherwise
    `context_tokens` puts other text of the same dataset before each prompt until it has so many tokens.
    """

    name: str = "jsonl"
    path: str | None = None
    prompts: list[dict[str, Any]] | None = None
    source: SourceConfig = field(default_factory=SourceConfig)
    row: RowConfig = field(default_factory=RowConfig)
    limit: int | None = None
    categories: list[str] | None = None
    chat_template: bool = True
    thinking: bool | None = False
    context_tokens: int | None = None
    scorer: str | None = None
    random_tokens: bool = False

    def __post_init__(self) -> None:
        for key, what in (("limit", "how many prompts to make"), ("context_tokens", "how many tokens each shall have")):
            if self.random_tokens and getattr(self, key) is None:
                raise InputError(f"dataset.{key} is empty: expected {what} (dataset.random_tokens=true)")
        if not (self.random_tokens or self.path or self.prompts or self.source.is_fetchable):
            licence = f" (licence: {self.source.licence})" if self.source.licence else ""
            how = f"{self.name} is fetched by you{licence}. {self.source.by_hand}" if self.source.by_hand else None
            raise InputError(f"dataset.path is empty: {how or 'expected a file of prompts'}")
        count(self.limit, "dataset.limit")
        count(self.context_tokens, "dataset.context_tokens")
        if self.random_tokens and (self.limit or 0) * (self.context_tokens or 0) > MOST_RANDOM_TOKENS:
            raise InputError(
                f"dataset.limit={self.limit} prompts of dataset.context_tokens={self.context_tokens}: expected at most "
                f"{MOST_RANDOM_TOKENS} random tokens in all"
            )
        if self.scorer is not None:
            one_of(self.scorer, SCORERS, "dataset.scorer")

    @property
    def label(self) -> str:
        """The dataset's name in tables: its config's, or the file's where the config names none."""
        return name_of(Path(str(self.path))) if self.name == "jsonl" else self.name


@dataclass
class DecodingConfig:
    """How the target's tokens are chosen. Temperature 0 is greedy."""

    temperature: float = 0.0
    top_k: int | None = None
    top_p: float | None = None
    verification: str = "rejection"

    def __post_init__(self) -> None:
        at_least(self.temperature, 0.0, "decoding.temperature")
        if not is_temperature(self.temperature):
            raise InputError(f"decoding.temperature={self.temperature}: expected 0, or {LEAST_TEMPERATURE} or more")
        count(self.top_k, "decoding.top_k")
        if self.top_p is not None and not 0.0 < self.top_p <= 1.0:
            raise InputError(f"decoding.top_p={self.top_p}: expected a number in (0, 1]")
        one_of(self.verification, VERIFICATIONS, "decoding.verification")

    @property
    def greedy(self) -> bool:
        return self.temperature == 0.0


@dataclass
class VerificationConfig:
    """Not how drafts are verified, but what is assumed about it: drafts stand at the rates of `synthetic_acceptance`
    (unconditional, never rising, one per position), whatever was drafted. None: by comparison, as always."""

    synthetic_acceptance: list[float] | None = None

    def __post_init__(self) -> None:
        check_rates(self.synthetic_acceptance)


@dataclass
class TrackingConfig:
    """An optional mirror of the run's files. Tracking never changes or fails a run."""

    name: str = "none"
    project: str = "drafthouse"
    entity: str | None = None
    mode: str = "auto"
    group: str | None = None
    tags: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        one_of(self.name, TRACKERS, "tracking")
        one_of(self.mode, TRACKING_MODES, "tracking.mode")


@dataclass
class RunConfig:
    """Everything one run needs; `arms` is the comparison it asks for, without the baseline."""

    target: TargetConfig
    dataset: DatasetConfig
    decoding: DecodingConfig = field(default_factory=DecodingConfig)
    verification: VerificationConfig = field(default_factory=VerificationConfig)
    engine: EngineConfig = field(default_factory=EngineConfig)
    tracking: TrackingConfig = field(default_factory=TrackingConfig)
    scoring: ScoringConfig = field(default_factory=ScoringConfig)
    drafters: dict[str, dict[str, Any]] = field(default_factory=dict)
    drafter: Any = None
    num_draft_tokens: int | None = None
    calibration: CalibrationConfig = field(default_factory=CalibrationConfig)
    max_new_tokens: int = 128
    repeats: int = 1
    batch_size: int = 1
    seed: int = 0
    execution: str = "auto"
    published: str | None = None
    strict: bool = True
    retry_errors: bool = False
    plan: bool = False
    share_device: bool = False

    def __post_init__(self) -> None:
        for key in ("num_draft_tokens", "max_new_tokens", "repeats", "batch_size"):
            count(getattr(self, key), key)
        if self.max_new_tokens < 2:
            raise InputError("max_new_tokens=1: expected 2 or more, as the first token comes from prefill")
        check_seed(self.seed)
        only_numbers(self.to_dict(), "")
        one_of(self.execution, EXECUTIONS, "execution")
        self.arms = self.engine.arms(
            [read_arm(name, self.drafters[name], self._defaults()) for name in self._arm_names()]
        )
        for arm in self.arms:
            if arm.synthetic_acceptance and not self.decoding.greedy:
                raise InputError(
                    f"decoding.temperature={self.decoding.temperature} with {arm.rates_key}: expected 0, as nothing is "
                    "drawn where acceptance is assumed"
                )
        if self.synthetic:  # nobody's answers have no score
            self.dataset.scorer = None

    @property
    def synthetic(self) -> str | None:
        """What of the run is made up, in one sentence; None where nothing is."""
        return label(self.target.weights, self.arms)

    def _arm_names(self) -> list[str]:
        chosen = [self.drafter] if isinstance(self.drafter, str) else list(self.drafter or [])
        names = [str(name) for name in chosen if name != BASELINE]
        for name in names:
            if name not in self.drafters:
                raise InputError(f"drafter={name}: unknown, expected one of {', '.join(sorted(self.drafters))}")
            if names.count(name) > 1:
                raise InputError(f"drafter={names}: {name} is listed more than once")
        return names

    def _defaults(self) -> Defaults:
        # `target.path=X` on top of an embedded target replaces the model, and its drafters fit no other.
        fitting = self.target.name not in EMBEDDED or self.target.is_embedded
        return Defaults(
            self.target.drafters if fitting else {},
            self.num_draft_tokens,
            self.target.weights,
            self.verification.synthetic_acceptance,
        )

    def to_dict(self) -> dict[str, Any]:
        """The resolved configuration as plain values, as it goes into the manifest."""
        return asdict(self)


def _one_line(error: OmegaConfBaseException) -> str:
    key = getattr(error, "full_key", None) or ""
    if isinstance(error, ConfigKeyError):
        return f"{key}: unknown key"
    first = str(error).splitlines()[0]
    return f"{key}: {first}" if key else first


def read_config(composed: DictConfig | dict[str, Any]) -> RunConfig:
    """Check a composed configuration. Raises InputError with one line that names the key."""
    schema = OmegaConf.structured(RunConfig)
    try:
        merged = OmegaConf.merge(schema, composed)
        config = OmegaConf.to_object(merged)
    except OmegaConfBaseException as error:
        raise InputError(_one_line(error)) from error
    assert isinstance(config, RunConfig)
    return config

"""A run's configuration: typed, and checked once, before any model or file is loaded.

Hydra composes `conf/` over the defaults here and rejects unknown overrides; `read_config` turns the result into these
dataclasses, whose checks name the value, the expectation and the key to change.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from functools import cache, cached_property
from typing import Any

from hydra.core.config_store import ConfigStore
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import ConfigKeyError, OmegaConfBaseException

from drafters.errors import InputError, closest
from drafters.plugins import offers
from drafters.registry import KINDS
from harness.config.arms import Arm, Defaults, label, read_arm
from harness.config.calibration import CalibrationConfig, CurveConfig
from harness.config.checks import check_seed, count, one_of, only_numbers
from harness.config.dataset import DatasetConfig
from harness.config.decoding import DecodingConfig, VerificationConfig
from harness.config.engine import EngineConfig
from harness.config.scoring import ScoringConfig
from harness.config.sweep import SweepConfig
from harness.config.target import EMBEDDED, TargetConfig
from harness.config.tracking import TrackingConfig
from harness.config.until import UntilConfig
from harness.vocabulary import BASELINE, EXECUTIONS, HARNESS


@dataclass
class RunConfig:
    """Everything that one run needs."""

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
    until: UntilConfig = field(default_factory=UntilConfig)
    sweep: SweepConfig = field(default_factory=SweepConfig)
    costs: bool = True
    curve: CurveConfig = field(default_factory=CurveConfig)
    diagnose: bool = False
    max_new_tokens: int = 128
    repeats: int = 1
    restarts: int = 1
    batch_size: int = 1
    seed: int = 0
    execution: str = "auto"
    published: str | None = None
    strict: bool = True
    retry_errors: bool = False
    plan: bool = False
    share_device: bool = False
    json: bool = False

    def __post_init__(self) -> None:
        for key in ("num_draft_tokens", "max_new_tokens", "repeats", "restarts", "batch_size"):
            count(getattr(self, key), key)
        if self.max_new_tokens < 2:
            raise InputError("max_new_tokens=1: expected 2 or more, as the first token comes from prefill")
        check_seed(self.seed)
        only_numbers(self.to_dict(), "")
        one_of(self.execution, EXECUTIONS, "execution")
        if self.restarts > 1:
            self._check_restarts()
        if self.sweep.share_baseline:
            self._check_sharing()
        for arm in self.arms:
            if arm.synthetic_acceptance and not self.decoding.greedy:
                raise InputError(
                    f"decoding.temperature={self.decoding.temperature} with {arm.rates_key}: expected 0, as nothing is "
                    "drawn where acceptance is assumed"
                )
        if self.diagnose:
            self._check_diagnose()
        if self.synthetic:  # made-up answers have no score
            self.dataset.scorer = None

    def _check_diagnose(self) -> None:
        """Raise InputError where recorded answers do not say which drafts stand, or no drafter is the harness's own."""
        reasons = {
            f"decoding.temperature={self.decoding.temperature}: expected 0": not self.decoding.greedy,
            "random weights or assumed acceptance": bool(self.synthetic),
            f"engine={self.engine.name}, which holds the weights": self.engine.runs_baseline,
        }
        for reason, applies in reasons.items():
            if applies:
                raise InputError(f"diagnose=true with {reason}; expected diagnose=false")

    def _check_restarts(self) -> None:
        """Raise InputError for what fresh processes would not renew, or would decide apart from each other."""
        reasons = {
            "engine.url: a server that is running is not started anew": self.engine.url is not None,
            "until: it would stop on the intervals of a single process": self.until.asked,
        }
        for reason, applies in reasons.items():
            if applies:
                raise InputError(f"restarts={self.restarts} with {reason}; expected 1")

    def _check_sharing(self) -> None:
        """Raise InputError where a baseline of another job would not be the one that this run decodes."""
        reasons = {
            f"engine={self.engine.name}: an engine decodes its own baseline": self.engine.name != HARNESS,
            f"restarts={self.restarts}: each process renews its baseline": self.restarts > 1,
            "until: it looks at intervals while prompts come in": self.until.asked,
        }
        for reason, applies in reasons.items():
            if applies:
                raise InputError(f"sweep.share_baseline=true with {reason}; expected false")

    @cached_property
    def arms(self) -> tuple[Arm, ...]:
        """The arms of the comparison, without the baseline. Raises InputError naming the key."""
        own = [read_arm(name, self.drafters.get(name), self._defaults()) for name in self._arm_names()]
        return self.engine.arms(own)

    @property
    def synthetic(self) -> str | None:
        """The made-up parts of the run in one sentence; None for a run of checkpoints and real acceptance."""
        return label(self.target.weights, self.arms)

    def _arm_names(self) -> list[str]:
        chosen = [self.drafter] if isinstance(self.drafter, str) else list(self.drafter or [])
        names = [str(name) for name in chosen if name != BASELINE]
        known = {*KINDS, *self.drafters}  # a registered kind needs no block of options
        if not known.issuperset(names):
            known |= offers().keys()  # nor does one of another package
        for name in names:
            if name not in known:
                raise InputError(
                    f"drafter={name}: unknown, expected one of {', '.join(sorted(known))}{closest(name, known)}"
                )
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


def defaults() -> dict[str, Any]:
    """The keys of a run with their defaults. Untyped: `read_config` checks types, and its errors name one key.

    Keys that need a `+` on the command line are left out, as Hydra refuses the `+` for a key that has a value already.
    """
    plain = OmegaConf.to_container(OmegaConf.structured(RunConfig))
    assert isinstance(plain, dict)
    target, dataset = (OmegaConf.to_container(OmegaConf.structured(group)) for group in (TargetConfig, DatasetConfig))
    assert isinstance(dataset, dict)
    del dataset["random_tokens"]
    listed_by_groups = ("engine", "tracking")
    listed = {str(name): value for name, value in plain.items() if name not in listed_by_groups}
    return {**listed, "target": target, "dataset": dataset}


# The base of conf/config.yaml, so that every key can be overridden without being listed in a file.
ConfigStore.instance().store("run_defaults", defaults())


def _one_line(error: OmegaConfBaseException) -> str:
    key = getattr(error, "full_key", None) or ""
    if isinstance(error, ConfigKeyError):
        return f"{key}: unknown key"
    first = str(error).splitlines()[0]
    return f"{key}: {first}" if key else first


@cache
def _schema() -> DictConfig:
    """Built once: a sweep and a search read many configurations."""
    return OmegaConf.structured(RunConfig)


def read_config(composed: DictConfig | dict[str, Any]) -> RunConfig:
    """Check a composed configuration. Raises InputError with one line that names the key."""
    try:
        merged = OmegaConf.merge(_schema(), composed)
        config = OmegaConf.to_object(merged)
    except OmegaConfBaseException as error:
        raise InputError(_one_line(error)) from error
    assert isinstance(config, RunConfig)
    return config

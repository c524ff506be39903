"""The arms of a run, read from `drafters.<name>`: settings of the harness, and options of the drafter."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from drafters.errors import InputError
from drafters.registry import kind_of
from harness.config.checks import count, one_of
from harness.config.synthetic import CHECKPOINT, RANDOM, RATES_KEY, WEIGHTS, check_rates
from harness.vocabulary import HARNESS


@dataclass(frozen=True)
class Arm:
    """One drafter with its settings, compared with the baseline, and the engine that decodes it.

    `gguf` is the file of its weights for llama.cpp (None: one made from `path`).

    `num_draft_tokens` None is the drafter's default. `synthetic_acceptance` are assumed rates per position, () where
    drafts are really compared; `rates_key` is the key that set them.
    """

    name: str
    kind: str
    path: str | None
    num_draft_tokens: int | None
    options: dict[str, Any] = field(default_factory=dict)
    engine: str = HARNESS
    gguf: str | None = None
    weights: str = CHECKPOINT
    synthetic_acceptance: tuple[float, ...] = ()
    rates_key: str = RATES_KEY


@dataclass(frozen=True)
class Defaults:
    """The settings of an arm that has none of its own: checkpoints by kind, k, the origin of weights, rates."""

    paths: Mapping[str, str]
    num_draft_tokens: int | None
    weights: str
    synthetic_acceptance: Sequence[float] | None


def read_arm(name: str, settings: Mapping[str, Any] | None, defaults: Defaults) -> Arm:
    """The arm of `drafters.<name>`; keys that are no settings of the harness are options of the drafter.

    Raises InputError naming the key.
    """
    # An option that is null is left to the drafter.
    options = {option: value for option, value in (settings or {}).items() if value is not None}
    kind = str(options.pop("kind", None) or name)
    path, gguf = options.pop("path", None), options.pop("gguf", None)
    rates, rates_key = options.pop("synthetic_acceptance", None), f"drafters.{name}.synthetic_acceptance"
    if rates is None:
        rates, rates_key = defaults.synthetic_acceptance, RATES_KEY
    k = _count(options.pop("num_draft_tokens", None), f"drafters.{name}.num_draft_tokens")
    weights = _weights(options.pop("weights", None), kind, f"drafters.{name}.weights")
    return Arm(
        name,
        kind,
        path if path is not None else defaults.paths.get(kind),
        k if k is not None else defaults.num_draft_tokens,
        options,
        gguf=None if gguf is None else str(gguf),
        weights=weights or (defaults.weights if kind_of(kind).trained else CHECKPOINT),
        synthetic_acceptance=check_rates(rates, rates_key),
        rates_key=rates_key,
    )


def _count(value: Any, key: str) -> int | None:
    if value is not None and (isinstance(value, bool) or not isinstance(value, int)):
        raise InputError(f"{key}={value}: expected a whole number")
    count(value, key)
    return value


def _weights(value: Any, kind: str, key: str) -> str | None:
    allowed = WEIGHTS if kind_of(kind).trained else (CHECKPOINT,)  # a control has no weights
    if value is not None:
        one_of(value, allowed, key)
    return value


def label(target_weights: str, arms: Iterable[Arm]) -> str | None:
    """The made-up parts of a run in one sentence; None for a run of checkpoints and real acceptance."""
    arms = list(arms)
    random = [name for name, weights in (("target", target_weights), *((a.name, a.weights) for a in arms))
              if weights == RANDOM]  # fmt: skip
    assumed = [arm.name for arm in arms if arm.synthetic_acceptance]
    parts = [f"random weights ({', '.join(random)})"] if random else []
    parts += [f"assumed acceptance ({', '.join(assumed)})"] if assumed else []
    if not parts:
        return None
    text = " and ".join(parts)
    return f"{text[0].upper()}{text[1:]}: what a round costs is measured, what it earns is not."

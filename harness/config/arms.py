"""The arms of a run, read from `drafters.<name>`: one block of options each, of which some are the harness's own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from drafters.registry import kind_of
from harness.config.checks import count, one_of
from harness.config.synthetic import CHECKPOINT, RANDOM, RATES_KEY, WEIGHTS, check_rates
from harness.errors import InputError
from harness.vocabulary import HARNESS


@dataclass(frozen=True)
class Arm:
    """One thing compared with the baseline, by `engine`. `num_draft_tokens` None means the drafter's own default.

    `synthetic_acceptance` are the rates at which its drafts stand, () where they are compared; `rates_key` set them.
    """

    name: str
    kind: str
    path: str | None
    num_draft_tokens: int | None
    options: dict[str, Any] = field(default_factory=dict)
    engine: str = HARNESS
    weights: str = CHECKPOINT
    synthetic_acceptance: tuple[float, ...] = ()
    rates_key: str = RATES_KEY


@dataclass(frozen=True)
class Defaults:
    """What an arm takes where it says nothing itself: checkpoints by kind, k, where weights come from, rates."""

    paths: Mapping[str, str]
    num_draft_tokens: int | None
    weights: str
    synthetic_acceptance: Sequence[float] | None


def read_arm(name: str, settings: Mapping[str, Any] | None, defaults: Defaults) -> Arm:
    """The arm that `drafters.<name>` describes; what is no setting of the harness is an option of the drafter.

    Raises InputError naming the key.
    """
    # An option that is null is left to the drafter.
    options = {option: value for option, value in (settings or {}).items() if value is not None}
    kind = str(options.pop("kind", None) or name)
    path = options.pop("path", None)
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
    """What of a run is made up, in one sentence; None for a run of checkpoints and real acceptance."""
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

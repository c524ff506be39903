"""A search in place of a grid: each job's settings follow from the results of those before, to maximise a figure.

Optuna chooses (the extra `search`): lists are categories, `range(1,16)` whole numbers, `interval(0.1,0.9)` real ones.
The jobs are those of a sweep: they are checked, noted, skipped where they are finished, and end in one table. The same
command with the same `hydra.sweep.dir` asks for the same settings in the same order and goes on where it stopped.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from hydra.core.override_parser.types import ChoiceSweep, IntervalSweep, Override, RangeSweep, Transformer

from drafters.errors import InputError

SEED = 0
EXTRA = "pip install 'drafthouse[search]'"


@dataclass(frozen=True, slots=True)
class Trial:
    """Settings that were tried, and the value of the objective; not a number for a job that failed or does not fit."""

    overrides: tuple[str, ...]
    value: float


def optuna() -> Any:
    """The library. Raises InputError where it is not installed."""
    try:
        import optuna as library
    except ImportError as error:
        raise InputError(f"sweep.trials: optuna is not installed, expected `{EXTRA}`") from error
    library.logging.set_verbosity(library.logging.ERROR)
    return library


def search(space: Sequence[Override], trials: int, run: Callable[[list[str]], float]) -> list[Trial]:
    """Try settings of `space`, `trials` times; `run` gives the objective's value for the overrides of one job.

    Settings that came up before are not run again. Raises InputError for a space without anything to vary.
    """
    library = optuna()
    fixed = [one.input_line for one in space if not one.is_sweep_override()]
    varied = {one.get_key_element(): distribution(library, one) for one in space if one.is_sweep_override()}
    if not varied:
        raise InputError(f"sweep.trials={trials}: expected a list, range(...) or interval(...) among the settings")
    study = library.create_study(direction="maximize", sampler=library.samplers.TPESampler(seed=SEED))
    known: dict[tuple[str, ...], float] = {}
    for _ in range(trials):
        trial = study.ask(varied)
        overrides = (*map(str, fixed), *(f"{name}={_text(value)}" for name, value in trial.params.items()))
        if overrides not in known:
            known[overrides] = run(list(overrides))
        value = known[overrides]
        if math.isfinite(value):
            study.tell(trial, value)
        else:
            study.tell(trial, state=library.trial.TrialState.FAIL)
    return [Trial(overrides, value) for overrides, value in known.items()]


def best(trials: Iterable[Trial]) -> Trial | None:
    """The trial with the highest value; None where no job had one."""
    return max((one for one in trials if math.isfinite(one.value)), key=lambda one: one.value, default=None)


def distribution(library: Any, override: Override) -> Any:
    """The values of one setting as Optuna draws them. Raises InputError for a sweep of another form."""
    value, kinds = override.value(), library.distributions
    if isinstance(value, IntervalSweep):
        return kinds.FloatDistribution(value.start, value.end, log="log" in value.tags)
    if isinstance(value, RangeSweep) and all(isinstance(one, int) for one in (value.start, value.stop, value.step)):
        values = range(value.start, value.stop, value.step)  # type: ignore[arg-type]
        if len(values) and value.step > 0:
            return kinds.IntDistribution(values[0], values[-1], step=value.step)
    if isinstance(value, ChoiceSweep | RangeSweep):
        found = list(override.sweep_iterator(transformer=Transformer.encode))
        if found:
            return kinds.CategoricalDistribution([str(one) for one in found])
    raise InputError(f"{override.input_line}: expected a list, range(...) or interval(...) with at least one value")


def _text(value: Any) -> str:
    """A drawn value for the command line; four digits name a real number well enough."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)

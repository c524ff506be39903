"""Numbers that no setting can have: one line that names key and value, before anything is loaded."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from drafters.adaptive import History, Stop
from drafters.controls import PromptLookupDrafter
from drafters.errors import InputError
from harness import generate
from harness.comparison.plan import preflight
from harness.comparison.schedule import Group
from harness.config import (
    CalibrationConfig,
    DatasetConfig,
    DecodingConfig,
    EngineConfig,
    RunConfig,
    ScoringConfig,
    TargetConfig,
)
from harness.config.checks import LARGEST_SEED, at_least, only_numbers
from harness.decoding.decoder import noise_table
from harness.report.published.catalogue import Figure
from harness.run import gather
from harness.tasks.prompts import Prompt
from harness.training.answers import AnswerSettings
from harness.training.config import TrainConfig
from harness.training.dflash import DFlashShape
from harness.training.mtp import MTPShape
from harness.training.settings import LoopSettings
from harness.training.target import TargetShape
from tests.helpers import reference
from tests.helpers import tiny_models as tiny
from tests.helpers.composing import composed

NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("decoding.temperature=nan", "decoding.temperature=nan: expected 0.0 or more"),
        ("decoding.temperature=inf", "decoding.temperature=inf: expected a finite number"),
        ("decoding.temperature=1e-40", "decoding.temperature=1e-40: expected 0, or 1e-30 or more"),
        ("decoding.top_p=nan", "decoding.top_p=nan: expected a number in (0, 1]"),
        ("decoding.top_k=1000000000000", "decoding.top_k=1000000000000: expected 2147483647 or less"),
        (f"seed={2**64}", f"seed={2**64}: expected 0 or more, and at most {LARGEST_SEED} (64 bits)"),
        ("max_new_tokens=1000000000000", "max_new_tokens=1000000000000: expected 2147483647 or less"),
        ("target.threads=1000000000000", "target.threads=1000000000000: expected auto, or a number from 1 to 4096"),
        ("target.threads=0", "target.threads=0: expected auto, or a number from 1 to 4096"),
        ("target.threads=many", "target.threads=many: expected auto, or a number from 1 to 4096"),
        ("target.threads=1.5", "target.threads=1.5: expected auto, or a number from 1 to 4096"),
        ("target.threads=null", "target.threads=None: expected auto, or a number from 1 to 4096"),
        ("target.threads=true", "target.threads=True: expected auto, or a number from 1 to 4096"),
        ("repeats=1000000000000", "repeats=1000000000000: expected 2147483647 or less"),
        ("batch_size=1000000000000", "batch_size=1000000000000: expected 2147483647 or less"),
        ("num_draft_tokens=1000000000000", "num_draft_tokens=1000000000000: expected 2147483647 or less"),
        ("dataset.limit=1000000000000", "dataset.limit=1000000000000: expected 2147483647 or less"),
        ("dataset.context_tokens=1000000000000", "dataset.context_tokens=1000000000000: expected 2147483647 or less"),
        ("calibration.num_draft_tokens=[4,1000000000000]", "calibration.num_draft_tokens=[4, 1000000000000]: expected"),
        ("calibration.prompts=1000000000000", "calibration.prompts=1000000000000: expected 2147483647 or less"),
        ("verification.synthetic_acceptance=[nan]", "verification.synthetic_acceptance=[nan]: expected a list of"),
        ("drafters.mtp.stop_threshold=nan", "drafters.mtp.stop_threshold=nan: expected a finite number"),
        ("drafters.dflash.input_embedding_scale=inf", "drafters.dflash.input_embedding_scale=inf: expected a finite"),
        ("+engine.options.gpu_memory_utilization=nan", "engine.options.gpu_memory_utilization=nan: expected a finite"),
        ("+engine.start_timeout_s=nan", "engine.start_timeout_s=nan: expected 0.0 or more"),
        ("scoring.timeout_s=nan", "scoring.timeout_s=nan: expected more than 0"),
        (f"scoring.memory_mb={10**13}", f"scoring.memory_mb={10**13}: expected 2147483647 or less"),
    ],
)
def test_a_run_names_the_number_that_cannot_be(override: str, message: str) -> None:
    with pytest.raises(InputError) as error:
        composed(override)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def settings_with_numbers() -> list[tuple[Any, dict[str, Any], str]]:
    """Every dataclass of settings that has fields for numbers, with what it needs besides, field by field."""
    known: dict[type[Any], dict[str, Any]] = {
        DatasetConfig: {"path": "p"},
        DecodingConfig: {},
        CalibrationConfig: {},
        EngineConfig: {},
        ScoringConfig: {},
        RunConfig: {"target": TargetConfig(path="p"), "dataset": DatasetConfig(path="p")},
        TrainConfig: {},
        AnswerSettings: {},
    }
    return [
        (kind, needed, field.name)
        for kind, needed in known.items()
        for field in dataclasses.fields(kind)
        if isinstance(field.type, str) and any(part in ("int", "float") for part in field.type.split(" | "))
    ]


@pytest.mark.parametrize("value", [NAN, INF])
@pytest.mark.parametrize(
    ("kind", "needed", "field"), settings_with_numbers(), ids=lambda part: getattr(part, "__name__", str(part)[:20])
)
def test_no_setting_takes_nan_or_infinity(kind: Any, needed: dict[str, Any], field: str, value: float) -> None:
    with pytest.raises(InputError):
        kind(**needed, **{field: value})


@pytest.mark.parametrize("value", [NAN, INF])
@pytest.mark.parametrize(
    ("name", "kind"),
    [("target_loop", LoopSettings), ("shape", TargetShape), ("mtp", MTPShape), ("dflash", DFlashShape)],
)
def test_no_setting_of_a_training_run_takes_them_either(name: str, kind: Any, value: float) -> None:
    for field in dataclasses.fields(kind):
        if field.type in ("int", "float"):
            part = kind()
            setattr(part, field.name, value)
            with pytest.raises(InputError):
                TrainConfig(**{name: part})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seed": 2**64}, "seed=18446744073709551616: expected 0 or more"),
        ({"shape": TargetShape(sliding_window=0)}, "shape.sliding_window=0: expected 1 or more"),
        ({"dflash": DFlashShape(heads=0)}, "dflash.heads=0: expected 1 or more"),
        ({"target_loop": LoopSettings(learning_rate=NAN)}, "target_loop.learning_rate=nan: expected a finite number"),
        ({"threads": 0}, "threads=0: expected 1 or more"),
    ],
)
def test_training_names_the_number_that_cannot_be(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as error:
        TrainConfig(**changes)
    assert message in str(error.value)


@pytest.mark.parametrize("temperatures", [(0.0, NAN), (INF,), (1e-40,), ()])
def test_answers_are_drawn_at_temperatures_that_exist(temperatures: tuple[float, ...]) -> None:
    with pytest.raises(InputError, match=r"answers\.temperatures is "):
        AnswerSettings(temperatures=temperatures)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"temperature": NAN}, "decoding.temperature is nan"),
        ({"temperature": 1e-40}, "decoding.temperature is 1e-40, expected 0"),
        ({"top_p": NAN}, "decoding.top_p is nan"),
        ({"top_k": NAN}, "decoding.top_k is nan"),
        ({"max_new_tokens": NAN}, "max_new_tokens is nan"),
        ({"batch_size": NAN}, "batch_size is nan"),
        ({"capacity": NAN}, "capacity is nan"),
        ({"capacity": 10**12}, "capacity is 1000000000000"),
        ({"seed": NAN}, "seed is nan"),
        ({"seed": 2**64}, f"seed is {2**64}, expected 0 or more, and at most {LARGEST_SEED}"),
    ],
)
def test_generate_refuses_them_too(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as error:
        generate(reference.target("dense_k_eq_v"), None, tiny.prompt(4), **options)
    assert message in str(error.value)


def test_more_drafts_than_the_context_holds_are_refused() -> None:
    target = reference.target("dense_k_eq_v")
    with pytest.raises(InputError, match="num_draft_tokens is 1025, expected at most 1024"):
        generate(target, reference.drafter("mtp", "dense_k_eq_v"), tiny.prompt(4), num_draft_tokens=1025)
    with pytest.raises(InputError, match=r"drafters\.mtp\.num_draft_tokens=1000000: expected \d+ or less"):
        preflight(composed("drafter=mtp", "num_draft_tokens=1000000"))
    with pytest.raises(InputError, match=r"drafters\.lookup\.max_ngram is 1000000000, expected at least 1 and at most"):
        preflight(composed("drafter=lookup", "drafters.lookup.max_ngram=1000000000"))


def test_prompts_longer_than_the_context_are_not_made_first() -> None:
    with pytest.raises(InputError, match=r"dataset\.context_tokens=2000000000: expected \d+ or less, as the target's"):
        gather(composed("dataset.context_tokens=2000000000"))
    with pytest.raises(InputError, match=r"dataset\.limit=2000000000 prompts of dataset\.context_tokens=8: expected"):
        DatasetConfig("random", random_tokens=True, limit=2_000_000_000, context_tokens=8)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Stop("entropy", INF),
        lambda: Stop("max_prob", NAN),
        lambda: History(NAN),  # type: ignore[arg-type]
        lambda: History(1.5),  # type: ignore[arg-type]
        lambda: PromptLookupDrafter(NAN),  # type: ignore[arg-type]
        lambda: Figure("a", "mtp", "speedup", INF, "b"),
        lambda: Figure("a", "mtp", "speedup", NAN, "b"),
        lambda: reference.drafter("dflash", "dense_k_eq_v", input_embedding_scale=NAN),
        lambda: reference.drafter("dflash", "dense_k_eq_v", input_embedding_scale="two"),
    ],
)
def test_options_of_drafters_and_figures_are_numbers(make: Any) -> None:
    with pytest.raises(InputError):
        make()


def test_numbers_are_found_in_any_depth() -> None:
    only_numbers({"a": [1, {"b": (2.5, None, "nan", True)}]}, "")
    with pytest.raises(InputError, match=r"a\[1\]\.b\[0\]=nan: expected a finite number"):
        only_numbers({"a": [1, {"b": (NAN,)}]}, "")
    with pytest.raises(InputError, match="a=1606938044258990275541962092341162602522202993782792835301376: expected a"):
        only_numbers({"a": 2**200}, "")
    at_least(None, 1, "nothing")
    at_least(3, 1, "enough", most=3)


# -- seeds -------------------------------------------------------------------------------------------------------------


def test_the_last_seed_is_followed_by_the_first() -> None:
    assert noise_table(LARGEST_SEED + 1, 0, 4, 2).tolist() == noise_table(0, 0, 4, 2).tolist()
    target = reference.target("dense_k_eq_v")
    answers = generate(
        target, None, [tiny.prompt(4)] * 2, seed=LARGEST_SEED, temperature=1.0, max_new_tokens=8
    )
    assert answers[1].token_ids == generate(target, None, tiny.prompt(4), temperature=1.0, max_new_tokens=8).token_ids


def test_neighbouring_seeds_and_repeats_share_no_random_numbers() -> None:
    prompts = tuple(Prompt(f"p{index}", "c", ("x",)) for index in range(4))
    seeds = [
        Group(first, prompts).seed(base, repeat) + row
        for base in (0, 1, 2, 1_000_000, LARGEST_SEED)
        for repeat in (0, 1, 2)
        for first in (0, 4)
        for row in range(4)
    ]
    assert len(set(seeds)) == len(seeds)
    assert max(seeds) < 2**63 and min(seeds) >= 0  # what vLLM takes
    assert Group(4, prompts).seed(7, 1) == Group(0, prompts).seed(7, 1) + 4


def test_the_least_temperature_draws_what_greedy_decoding_takes() -> None:
    answer = generate(reference.target("dense_k_eq_v"), None, tiny.prompt(4), temperature=1e-30, max_new_tokens=8)
    assert answer.token_ids == reference.answer("dense_k_eq_v", 4)[:8]

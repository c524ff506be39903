"""Every file under conf/ composes and validates, without a network and without a file that it names."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from hydra import compose, initialize_config_dir
from hydra.errors import ConfigCompositionException
from omegaconf import OmegaConf

from drafters.errors import InputError
from harness.comparison.plan import preflight
from harness.config import EMBEDDED, read_config
from harness.report.published.catalogue import FIGURES, read_figures
from harness.report.published.comparison import METRICS
from harness.tasks.mapping import RowMapping
from harness.tasks.scoring.scorer import Scorer
from harness.training.config import read_train_config
from harness.vocabulary import CONF
from tests.helpers.composing import composed, laid_over

FAMILY = ("e2b", "e4b", "12b", "26b_a4b", "31b")
DATASETS = sorted(path.stem for path in (CONF / "dataset").glob("*.yaml"))
EXPERIMENTS = sorted(path.stem for path in (CONF / "experiment").glob("*.yaml"))
GROUPS = [
    f"{path.parent.name}={path.stem}"
    for path in sorted(CONF.glob("*/*.yaml"))
    if path.parent.name not in ("hydra", "experiment", "figures", "train")
]
FAMILIES = sorted(path.stem for path in (CONF / "train" / "family").glob("*.yaml"))  # of what `harness.train` makes
#: Keys of every dataset that `dataset.KEY=...` must reach.
OVERRIDABLE = {"path", "limit", "categories", "chat_template", "thinking", "context_tokens", "scorer"}
#: Overrides without which a choice is incomplete.
NEEDED = {"dataset": ["dataset.path=rows.jsonl"], "target=path": ["target.path=somewhere"]}


@pytest.mark.parametrize("choice", GROUPS)
def test_every_choice_of_every_group_validates(choice: str) -> None:
    needed = NEEDED.get(choice, NEEDED.get(choice.partition("=")[0], []))
    assert composed(choice, *needed)


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_experiment_validates_and_names_figures_that_exist(name: str) -> None:
    config = composed(f"experiment={name}", "dataset.path=rows.jsonl")
    if name not in ("quick", "best_k", "both_engines", "engines", "plan_31b", "search"):  # without published figures
        assert config.published == name
        assert read_figures(name)


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_sweep_names_keys_and_values_that_validate(name: str) -> None:
    written = OmegaConf.to_container(OmegaConf.load(CONF / "experiment" / f"{name}.yaml"))
    assert isinstance(written, dict)
    params = written.get("hydra", {}).get("sweeper", {}).get("params", {})
    for key, values in params.items():
        if str(values) == "${target.context_lengths}":
            values = composed().target.context_lengths
        drawn = re.fullmatch(r"(?:range|interval)\((.*)\)", str(values))  # by a search: its ends
        for value in (drawn[1] if drawn else str(values)).split(","):
            assert composed(f"experiment={name}", "dataset.path=rows.jsonl", f"{key}={value}")


@pytest.mark.parametrize("name", sorted(path.stem for path in FIGURES.glob("*.yaml")))
def test_every_published_figure_names_a_target_or_model_a_dataset_of_ours_and_its_source(name: str) -> None:
    for figure in read_figures(name):
        assert figure.source and figure.label
        assert figure.dataset is None or figure.dataset in DATASETS
        assert figure.arm in ("baseline", "mtp", "dflash")
        assert figure.metric in METRICS
        assert figure.target in (None, *FAMILY) or "Qwen" in str(figure.target)


@pytest.mark.parametrize("name", EMBEDDED)
def test_an_embedded_target_brings_its_drafters_and_prompts(name: str) -> None:
    config = composed(f"target={name}")
    assert config.target.is_embedded
    assert [arm.path is not None and Path(arm.path).is_dir() for arm in config.arms] == [True, True]
    assert not composed(f"target={name}", "target.path=elsewhere").target.is_embedded


@pytest.mark.parametrize("name", FAMILY)
def test_a_published_target_needs_one_word(name: str) -> None:
    config = composed(f"target={name}", "drafter=mtp")
    assert config.target.dtype == "bfloat16"
    assert config.arms[0].path == f"{config.target.path}-assistant"
    assert str(config.target.path).count("/") == 1


@pytest.mark.parametrize(("name", "drafter"), [
    ("31b", "z-lab/gemma-4-31B-it-DFlash"),
    ("26b_a4b", "z-lab/gemma-4-26B-A4B-it-DFlash"),
    ("12b", "z-lab/gemma4-12B-it-DFlash"),
    ("e2b", "rasyosef/gemma-4-E2B-it-dflash2"),
])  # fmt: skip
def test_a_block_drafter_is_known_for_most(name: str, drafter: str) -> None:
    assert {arm.kind: arm.path for arm in composed(f"target={name}").arms}["dflash"] == drafter


def test_where_none_is_published_the_error_says_what_there_is() -> None:
    config = composed("target=e4b")
    with pytest.raises(InputError) as error:
        preflight(config)
    assert "drafters.dflash.path is empty" in str(error.value)
    assert "rasyosef/gemma-4-E4B-it-dspark (DSpark, by the community)" in str(error.value)
    assert "leave dflash out of drafter" in str(error.value)


@pytest.mark.parametrize("name", DATASETS)
def test_every_dataset_says_where_it_is_from_and_can_be_read_and_scored(name: str) -> None:
    whole = laid_over(f"dataset={name}")
    assert set(whole.dataset) >= OVERRIDABLE
    whole.dataset.path = "rows.jsonl"
    run_config = read_config(whole)
    config = run_config.dataset
    RowMapping(config.row, config.label)
    Scorer(config.scorer, run_config.scoring)
    if name not in ("embedded", "jsonl", "hospital", "random"):
        assert config.source.licence
        assert config.source.is_fetchable or config.source.by_hand
        pinned = config.source.revision
        assert pinned is None or (len(pinned) == 40 and int(pinned, 16))


@pytest.mark.parametrize(
    "override",
    [
        "target.revision=abc",
        "+target.revision=abc",
        "+target.drafters.other=somewhere",
        "dataset.row.template='{{ question }}'",
        "+dataset.row.template='{{ question }}'",
        "+dataset.row.id=[name]",
        "dataset.source.split=test",
        "+dataset.random_tokens=false",
        "+dataset.prompts=[{prompt: hello}]",
        "+engine.tensor_parallel=2",
        "+tracking.mode=offline",
        "+drafters.mtp_b={kind: mtp}",
    ],
)
def test_a_key_that_no_file_lists_can_be_set_with_or_without_a_plus(override: str) -> None:
    config: Any = composed(override).to_dict()
    key, _, value = override.lstrip("+").partition("=")
    for part in key.split("."):
        config = config[part]
    assert config == yaml.safe_load(value)


def test_a_dataset_that_you_fetch_says_how_and_under_which_licence() -> None:
    with pytest.raises(InputError) as error:
        composed("dataset=speed_bench")
    message = str(error.value)
    assert message.startswith("dataset.path is empty: speed_bench is fetched by you")
    assert "NVIDIA Evaluation Dataset License" in message and "prepare_data.py" in message


def test_the_long_answer_is_asked_for_with_its_prompt() -> None:
    assert composed("dataset=hospital").max_new_tokens == 2048
    assert composed("dataset=hospital", "max_new_tokens=64").max_new_tokens == 64


def test_the_schema_knows_every_key_of_the_targets() -> None:
    fields = {field.name for field in dataclasses.fields(type(composed().target))}
    for path in (CONF / "target").glob("*.yaml"):
        assert set(OmegaConf.load(path)) <= fields


@pytest.mark.parametrize("recipe", ["pair", "target", "mtp", "dflash"])
@pytest.mark.parametrize("family", FAMILIES)
def test_the_training_config_validates_for_every_recipe_and_family(recipe: str, family: str) -> None:
    with initialize_config_dir(str(CONF / "train"), version_base="1.3"):
        config = read_train_config(compose("train", [f"recipe={recipe}", f"family={family}"]))
    assert config.recipe == recipe
    assert config.mtp.ordered == bool(config.shape.per_layer_size) == (family == "e2b")


def test_every_key_of_a_training_run_can_be_set_by_its_name() -> None:
    with initialize_config_dir(str(CONF / "train"), version_base="1.3"):
        composed = compose("train", ["drafter_loop.precision=fp32", "shape.kv_shared_layers=2", "seed=3"])
        config = read_train_config(composed)
    assert (config.drafter_loop.precision, config.shape.kv_shared_layers, config.target_loop.seed) == ("fp32", 2, 3)
    with initialize_config_dir(str(CONF / "train"), version_base="1.3"), pytest.raises(ConfigCompositionException):
        compose("train", ["drafter_loop.stepz=3"])


def test_no_file_is_left_out() -> None:
    """Every YAML is one of a group's choices, an experiment, its published figures, or composed by name elsewhere."""
    covered = {CONF / f"{group.replace('=', '/')}.yaml" for group in GROUPS}
    covered |= {CONF / "experiment" / f"{name}.yaml" for name in EXPERIMENTS} | set(FIGURES.glob("*.yaml"))
    # wandb_sweep.yaml is an agent's, with tests of its own; the sweeper is part of every composed config.
    covered |= {CONF / name for name in ("config.yaml", "train/train.yaml", "wandb_sweep.yaml")}
    covered |= {CONF / "hydra/sweeper/drafthouse.yaml"} | {CONF / f"train/family/{name}.yaml" for name in FAMILIES}
    assert set(CONF.rglob("*.yaml")) == covered

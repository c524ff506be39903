"""A drafter is added in one file and one record, and every room reads its traits from there."""

from __future__ import annotations

import importlib
import subprocess
import sys
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from drafters.base import Proposal, Sampling
from drafters.build import build_drafter
from drafters.controls import Control
from drafters.errors import InputError
from drafters.registry import KINDS, EngineMethod, Kind, kind_of, resolve, resolve_draft_tokens
from harness import generate
from harness.comparison.plan import plan_arm, with_candidates
from harness.comparison.watchdog import GuardError, Watch
from harness.config import RunConfig, read_config
from harness.engines.support import check_arm
from harness.metrics.evidence import acceptance_doubts, never_drafts
from harness.records.rounds import Round
from harness.report.charts import palette
from harness.report.names import arm_name, is_control
from tests.helpers import reference
from tests.helpers import tiny_models as tiny

STRUCTURE = "dense_k_eq_v"


class RepeatingDrafter(Control):
    """Drafts the anchor again and again."""

    name = "repeat"

    def __init__(self, token: int | None = None) -> None:
        self.token = token

    def propose(self, anchor: Tensor, position: Tensor) -> Proposal:
        first = anchor if self.token is None else torch.full_like(anchor, self.token)
        return Proposal(first[:, None].repeat(1, self.k))


PLANTED = Kind(
    "repeat",
    drafter=f"{__name__}:RepeatingDrafter",
    default_k=3,
    title="Repeat",
    colour=("#123456", "#fedcba"),
    control=True,
    may_be_silent=True,
    low_because="answers seldom repeat a token",
    if_silent="that it was given a token",
    engines={"vllm": EngineMethod("repeat", options=("token",))},
)


@pytest.fixture
def planted(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with monkeypatch.context() as patch:
        patch.setitem(KINDS, "repeat", PLANTED)
        importlib.reload(palette)
        yield
    importlib.reload(palette)


def config(**changes: object) -> RunConfig:
    target, dataset = {"path": "somewhere"}, {"path": "rows.jsonl"}
    return read_config({"target": target, "dataset": dataset, "drafter": "repeat", **changes})


# -- every record ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS.values(), ids=lambda kind: kind.name)
def test_every_record_names_code_that_exists(kind: Kind) -> None:
    assert resolve(kind.drafter).name == kind.name
    assert all(callable(resolve(code)) for code in (kind.load, kind.check) if code is not None)
    assert kind.trained == (kind.check is not None)


def test_every_drafter_has_a_title_and_colours_of_its_own() -> None:
    colours = [colour for kind in KINDS.values() for colour in kind.colour or ()]
    assert len(set(colours)) == 2 * len(KINDS)
    assert all(kind.title for kind in KINDS.values())


def test_an_unregistered_kind_has_no_traits() -> None:
    unknown = kind_of("gone")
    assert (unknown.name, unknown.control, unknown.trained, unknown.engines) == ("gone", False, False, {})


def test_reading_a_config_imports_neither_torch_nor_transformers() -> None:
    code = (
        "import sys\n"
        "from harness.config import read_config\n"
        "read_config({'target': {'path': 'x'}, 'dataset': {'path': 'y'}, 'drafter': 'mtp', 'drafters': {'mtp': {}}})\n"
        "print(sorted({'torch', 'transformers', 'pandas'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr


# -- k -----------------------------------------------------------------------------------------------------------------


def test_k_is_what_was_asked_for_else_the_kinds_else_the_block() -> None:
    assert resolve_draft_tokens("dflash", 7, 15) == 7
    assert resolve_draft_tokens("mtp", None, None) == KINDS["mtp"].default_k == 4
    assert resolve_draft_tokens("dflash", None, 15) == 15
    assert resolve_draft_tokens("gone", None, None) == 4


@pytest.mark.parametrize(("asked", "message"), [(0, "=0: expected 1 or more"), (16, "=16: expected 15 or less")])
def test_k_stays_within_its_limits(asked: int, message: str) -> None:
    with pytest.raises(InputError, match=rf"drafters\.dflash\.num_draft_tokens{message}"):
        resolve_draft_tokens("dflash", asked, 15)


# -- a drafter planted by one record -----------------------------------------------------------------------------------


@pytest.mark.usefixtures("planted")
def test_a_planted_drafter_is_built_and_decodes() -> None:
    target = reference.target(STRUCTURE)
    drafter = build_drafter("repeat", None, target.config.to_dict(), target.device, target.dtype, token=5)
    found = generate(target, drafter, tiny.prompt(9), max_new_tokens=12)
    assert found.token_ids == reference.answer(STRUCTURE, 9)[:12]
    assert {r.drafted for r in found.rounds[:-1]} == {3}
    assert set(found.rounds[0].draft_token_ids) == {5}
    with pytest.raises(InputError, match=r"drafters\.repeat\.depth is no option"):
        build_drafter("repeat", None, target.config.to_dict(), target.device, target.dtype, depth=1)


@pytest.mark.usefixtures("planted")
def test_a_planted_drafter_is_planned_and_calibrated() -> None:
    run = config(calibration={"num_draft_tokens": [2, 6]})
    arm = run.arms[0]
    assert (arm.name, arm.kind, arm.weights) == ("repeat", "repeat", "checkpoint")
    planned = plan_arm(arm, {}, run.target, Sampling())
    assert planned.k == 3
    assert with_candidates(planned, run).candidates == (2, 6)
    with pytest.raises(InputError, match=r"drafters\.repeat\.weights=random: expected one of checkpoint"):
        config(drafters={"repeat": {"weights": "random"}})


@pytest.mark.usefixtures("planted")
def test_a_planted_drafter_is_known_to_vllms_arms() -> None:
    run = config(engine={"name": "vllm"}, drafters={"repeat": {"token": 5}})
    check_arm(run.arms[0], beside=False)
    other = config(engine={"name": "vllm"}, drafters={"repeat": {"depth": 5}})
    with pytest.raises(InputError, match=r"drafters\.repeat\.depth=5: vLLM has no such option"):
        check_arm(other.arms[0], beside=False)


@pytest.mark.usefixtures("planted")
def test_a_planted_control_is_named_coloured_and_kept_out_of_rankings() -> None:
    assert (arm_name("repeat"), arm_name("vllm_repeat")) == ("Repeat", "Repeat in vLLM")
    assert is_control("repeat")
    assert palette.light(palette.arm_colour("repeat")) == "#123456"
    assert "--arm-repeat:#fedcba" in palette.css_variables()


def test_an_unknown_arm_has_a_spare_colour_and_competes() -> None:
    assert palette.arm_colour("repeat", 1) == "arm-6"
    assert arm_name("repeat") == "repeat"
    assert not is_control("repeat")


@pytest.mark.usefixtures("planted")
def test_guards_read_the_traits_of_a_planted_drafter() -> None:
    assert not never_drafts(20, "repeat")
    row = {"arm": "r", "drafted": 0, "accepted": 0, "rounds": 20, "prompts": 5}
    assert [message for _, severity, message in acceptance_doubts(row, "repeat") if severity == "info"] == [
        "nothing drafted in 20 rounds, as answers seldom repeat a token: the baseline's numbers"
    ]
    watch = Watch({"r": "repeat"})
    watch.take("r", [Round(i, i, 0, 0, 1, 0.0, 0.0, 0.0) for i in range(2000)])
    watch.check()
    with pytest.raises(GuardError, match=r"check drafters\.r: that it was given a token"):
        watch.check(finished=True)

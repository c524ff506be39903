"""Scores that are NaN or infinite end a generation with an error, and never in a token."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from harness import generate, load_drafter, load_target
from harness.comparison.width_probe import probe_widths
from harness.config import read_config
from harness.decoding.decoder import Decoder, ScoresError
from harness.run import run
from harness.target.target import Target
from harness.vocabulary import EXIT_ARM_FAILED
from tests.helpers import reference
from tests.helpers import tiny_models as tiny
from tests.helpers.checkpoint_folders import write_pair, write_prompts
from tests.helpers.steered_drafter import Steered

pytestmark = pytest.mark.usefixtures("blank_charts")

PROMPT = tiny.prompt(7, seed=5)
K = 3
WAYS: dict[str, dict[str, Any]] = {
    "greedy": {},
    "rejection": {"temperature": 0.8},
    "match": {"temperature": 0.8, "top_k": 9, "top_p": 0.9, "verification": "match"},
    "assumed": {"synthetic_acceptance": (0.9, 0.5, 0.3)},
}
NETWORKS = {"mtp": tiny.assistant_model, "dflash": tiny.dflash_model}
LAYOUTS: dict[str, dict[str, Any]] = {
    "plain": {},
    "path": {"selector_rank": 4, "selector_top_k": 5},
    "markov": {"markov_rank": 4},
}


def decode(target: Target, drafter: Any, way: str, **options: Any) -> Any:
    asked = {"max_new_tokens": 30, **WAYS[way], **options}
    return generate(target, drafter, PROMPT, **{"num_draft_tokens": None if drafter is None else K, **asked})


def untied() -> Any:
    """A target whose embedding can be spoilt without its head."""
    return tiny.target_model(tie_word_embeddings=False)


def spoil(model: Any, token: int, value: float = float("nan")) -> None:
    """Make every score after `token` NaN (or `value`)."""
    with torch.no_grad():
        model.get_input_embeddings().weight[token] = value


def poisoned(way: str, value: float = float("nan")) -> tuple[Any, int]:
    """A target that says nothing after one of its own tokens, and the position after the first such token."""
    model = untied()
    answer = decode(load_target(model), None, way, synthetic_acceptance=()).token_ids
    index, token = next((i, t) for i, t in enumerate(answer) if i > 4 and t not in [*PROMPT, *answer[:i]])
    spoil(model, token, value)
    return model, len(PROMPT) + index + 1


@pytest.mark.parametrize("name", [None, "lookup", "random", "mtp", "dflash"])
@pytest.mark.parametrize("way", WAYS)
def test_the_targets_scores_name_their_position(way: str, name: str | None) -> None:
    check_first_round(untied(), name, way)


@pytest.mark.cuda
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")
def test_a_graph_reports_them_too(way: str) -> None:
    check_first_round(untied().to("cuda"), "random", way, "cuda_graph")


def check_first_round(model: Any, name: str | None, way: str, execution: str = "eager") -> None:
    target = load_target(model, execution=execution)
    network = NETWORKS[name](model) if name in NETWORKS else None
    drafter = None if name is None else load_drafter(name, network, target=target)
    first = generate(target, None, PROMPT, max_new_tokens=1, temperature=WAYS[way].get("temperature", 0.0), top_k=9)
    assert first.token_ids[0] not in PROMPT
    spoil(model, first.token_ids[0])
    with pytest.raises(ScoresError, match="scores of the target for the token at position 8 are NaN"):
        decode(target, drafter, way, top_k=9)


def test_later_positions_and_those_inside_a_block_are_named() -> None:
    model, position = poisoned("greedy")
    with pytest.raises(ScoresError, match=f"scores of the target for the token at position {position} are NaN"):
        decode(load_target(model), None, "greedy")
    answer = decode(load_target(untied()), None, "greedy").token_ids
    target = load_target(model)
    with pytest.raises(ScoresError) as raised:  # attention reads masked keys, so it is any position of the round
        decode(target, Steered(load_drafter("lookup", target=target), PROMPT + answer), "greedy")
    assert position - K <= int(str(raised.value).split("position ")[1].split()[0]) <= position


@pytest.mark.parametrize("way", ["greedy", "rejection"])
@pytest.mark.parametrize("value", [float("inf"), -float("inf")])
def test_infinite_states_are_no_numbers_either(way: str, value: float) -> None:
    model, position = poisoned(way, value)
    with pytest.raises(ScoresError, match=f"target for the token at position {position} are NaN or infinite"):
        decode(load_target(model), None, way)


@pytest.mark.parametrize("way", WAYS)
def test_the_first_token_is_checked_too(way: str) -> None:
    model = untied()
    spoil(model, PROMPT[-1])
    with pytest.raises(ScoresError, match="target for the token at position 7 are NaN"):
        decode(load_target(model), None, way)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("layout", ["mtp", *LAYOUTS])
def test_a_drafters_scores_name_their_position(layout: str, way: str) -> None:
    model = untied()
    target = load_target(model)
    network = tiny.assistant_model(model) if layout == "mtp" else tiny.dflash_model(model, **LAYOUTS[layout])
    spoilt = next(p for n, p in network.named_parameters() if n in ("model.norm.weight", "norm.weight"))
    drafter = load_drafter("mtp" if layout == "mtp" else "dflash", network, target=target)
    assert len(decode(target, drafter, way).token_ids) == 30
    with torch.no_grad():
        spoilt.fill_(float("nan"))
    with pytest.raises(ScoresError, match="scores of the drafter for the token at position 8 are NaN or infinite"):
        decode(target, drafter, way)


def test_a_drafter_that_is_never_sure_because_it_computes_nothing_is_no_silent_drafter() -> None:
    target = load_target(untied())
    network = tiny.assistant_model(target.model)
    with torch.no_grad():
        network.model.norm.weight.fill_(float("nan"))
    drafter = load_drafter("mtp", network, target=target, stop="max_prob", stop_threshold=0.2)
    with pytest.raises(ScoresError, match="scores of the drafter for the token at position 8"):
        decode(target, drafter, "greedy")


def test_the_next_prompt_finds_none_of_it_in_its_storage() -> None:
    model, _ = poisoned("greedy")
    target = load_target(model)
    other = [PROMPT[0]] * 3
    wanted = generate(load_target(model), None, other, max_new_tokens=2).token_ids
    with pytest.raises(ScoresError):
        decode(target, None, "greedy")
    assert generate(target, None, other, max_new_tokens=2).token_ids == wanted


def test_scores_behind_the_end_of_an_answer_do_not_matter() -> None:
    model, position = poisoned("greedy")
    target = load_target(model)
    length = position - len(PROMPT)
    answer = decode(target, None, "greedy", max_new_tokens=length).token_ids
    drafter, one_round = load_drafter("oracle", target=target), length - 2  # it ends in the token without scores
    found = decode(target, drafter, "greedy", max_new_tokens=length, num_draft_tokens=one_round)
    assert (found.token_ids, len(found.rounds)) == (answer, 1)


def test_a_report_keeps_its_size(monkeypatch: pytest.MonkeyPatch) -> None:
    """No round waits once more: a token that cannot be chosen is a negative id among those that the host reads."""
    reports = []
    settle = Decoder.settle

    def spy(self: Decoder, *args: Any) -> Any:
        accepted, report = settle(self, *args)
        if args[1].shape[1] > 1:  # no baseline's
            reports.append(report)
        return accepted, report

    monkeypatch.setattr(Decoder, "settle", spy)
    model, _ = poisoned("greedy")
    target = load_target(model)
    with pytest.raises(ScoresError):
        decode(target, load_drafter("random", target=target), "greedy")
    assert {tuple(report.shape) for report in reports} == {(1, 2 + (K + 1) + K)}
    assert reports[-1].min() == -1


def test_a_width_probe_of_nothing_says_so() -> None:
    model = untied()
    tokens = tiny.prompt(40)
    spoil(model, tokens[-2])
    probes = probe_widths(load_target(model), tokens, [1, 5])
    assert probes == {"5": {"reason": "the target's logits are not finite"}}


def test_an_arm_without_scores_fails_and_the_others_go_on(tmp_path: Any) -> None:
    paths = write_pair(tmp_path / "pair")
    weights = f"{paths['mtp']}/model.safetensors"
    tensors = load_file(weights)
    tensors["model.norm.weight"] = torch.full_like(tensors["model.norm.weight"], float("nan"))
    save_file(tensors, weights, metadata={"format": "pt"})
    config = read_config(
        {
            "target": {"path": paths["target"], "dtype": "float32", "device": "cpu"},
            "dataset": {"path": write_prompts(tmp_path / "prompts.jsonl", 2)},
            "drafters": {name: {"path": paths[name]} for name in ("mtp", "dflash")},
            "drafter": ["mtp", "dflash"],
            "num_draft_tokens": 2,
            "max_new_tokens": 6,
        }
    )
    outcome = run(config, tmp_path / "run")
    assert outcome.exit_code == EXIT_ARM_FAILED
    rows = {row["arm"]: row for row in outcome.summary["rows"] if row["category"] == "all"}
    assert rows["baseline"]["generations"] == rows["dflash"]["generations"] == 2
    assert rows["mtp"]["errors"] == 2
    text = (tmp_path / "run" / "generations.jsonl").read_text()
    assert text.count("ScoresError: mtp: the scores of the drafter for the token at position") == 2


def test_a_target_without_scores_fails_every_arm_and_not_the_run(tmp_path: Any) -> None:
    paths = write_pair(tmp_path / "pair")
    weights = f"{paths['target']}/model.safetensors"
    tensors = load_file(weights)
    tensors["model.norm.weight"] = torch.full_like(tensors["model.norm.weight"], float("nan"))
    save_file(tensors, weights, metadata={"format": "pt"})
    composed = {
        "target": {"path": paths["target"], "dtype": "float32", "device": "cpu"},
        "dataset": {"path": write_prompts(tmp_path / "prompts.jsonl", 1)},
        "drafters": {"lookup": {}},
        "drafter": "lookup",
        "max_new_tokens": 6,
    }
    outcome = run(read_config(composed), tmp_path / "run")
    assert outcome.exit_code == EXIT_ARM_FAILED
    text = (tmp_path / "run" / "generations.jsonl").read_text()
    assert text.count('"token_ids": []') == text.count("are NaN or infinite") == 2


def test_reference_targets_have_numbers_everywhere() -> None:
    """The checks above find nothing where there is nothing: masks of minus infinity are no scores."""
    for structure in tiny.EVERY_STRUCTURE:
        assert len(generate(reference.target(structure), None, [5], max_new_tokens=40).token_ids) == 40

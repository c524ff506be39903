"""The three ways of running a round give the same tokens; where a GPU is at hand, a round never waits for the host."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch._dynamo.testing import CompileCounter

from drafters.errors import InputError
from harness import generate, load_drafter, load_target
from harness.decoding import pool, programs
from harness.decoding.compiled.workers import Workers
from harness.decoding.decoder import Decoder, DecodeSettings, RoundPrograms
from harness.decoding.loop import loop
from harness.decoding.programs import program
from harness.target.execution import choose_execution
from harness.target.experts import EXPERTS
from tests.helpers import reference
from tests.helpers import tiny_models as tiny

SMALL = {"num_hidden_layers": 2, "layer_types": [tiny.S, tiny.F]}


def small_pair(structure: str = "dense_k_eq_v"):
    model = tiny.target_model(structure, **SMALL)
    drafters = {"mtp": tiny.assistant_model(model), "dflash": tiny.dflash_model(model, target_layer_ids=(0,))}
    return model, drafters


def test_auto_is_eager_on_the_cpu_and_graphs_on_cuda():
    assert choose_execution("auto", torch.device("cpu")) == "eager"
    assert choose_execution("auto", torch.device("cuda")) == "cuda_graph"


@pytest.mark.parametrize("name", ["graph", "cuda_graph"])
def test_an_execution_that_is_not_available_names_the_key(name: str):
    with pytest.raises(InputError, match="execution is"):
        choose_execution(name, torch.device("cpu"))


def test_reach_grows_in_steps_and_never_past_the_storage():
    decoder = Decoder(load_target(tiny.target_model(**SMALL)), None, DecodeSettings(), 1, 200)
    assert [decoder.reach_of(position) for position in (1, 64, 65, 190)] == [64, 64, 128, 192]
    assert decoder.reach_of(199) == 200
    assert decoder.reaches(60, 8) == {64, 128}
    assert decoder.reaches(65, 8) == {128}
    assert decoder.reaches(100, 90) == {128, 192}


def test_a_program_that_cannot_be_compiled_runs_eagerly_and_says_why(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    monkeypatch.setenv("DRAFTHOUSE_CACHE", str(tmp_path))
    monkeypatch.setattr(Workers, "submit", lambda self, job, done: done("no compiler"))
    model = tiny.target_model(**SMALL)
    wanted = generate(load_target(model), None, tiny.prompt(9), max_new_tokens=12).token_ids
    target = load_target(model, execution="compile")
    assert generate(target, None, tiny.prompt(9), max_new_tokens=12).token_ids == wanted
    assert "baseline verify runs eagerly, as it could not be compiled: no compiler" in caplog.text


@torch._dynamo.config.patch(recompile_limit=64)
@pytest.mark.parametrize(
    ("structure", "name"), [("dense_k_eq_v", "mtp"), ("dense_k_eq_v", "dflash"), ("experts", "mtp")]
)
def test_pieces_of_one_kind_are_compiled_once_for_a_graph(structure: str, name: str, monkeypatch: pytest.MonkeyPatch):
    """The pieces that a graph captures give the same tokens without a capture, and more layers, or drafts of a chain,
    need no program more."""
    counts = []
    for repeats in (2, 3):
        kinds = [tiny.S, tiny.F] * repeats
        model = tiny.target_model(structure, num_hidden_layers=len(kinds), layer_types=kinds)
        prompt = tiny.prompt(20)
        network = tiny.assistant_model(model) if name == "mtp" else tiny.dflash_model(model)
        wanted = generate(load_target(model), None, prompt, max_new_tokens=12).token_ids
        torch._dynamo.reset()
        counter = CompileCounter()
        monkeypatch.setattr(programs, "compiled", lambda f: torch.compile(f, backend=counter, fullgraph=True))  # noqa: B023
        monkeypatch.setattr(programs, "GraphProgram", lambda function: function)
        target = load_target(model)
        settings = DecodeSettings(2 * repeats, 12)
        decoder = Decoder(target, load_drafter(name, network, target=target), settings, 1, 64)
        rounds = (decoder.propose, decoder.verify, decoder.observe)
        decoder.programs[64] = RoundPrograms(*(program(part, "cuda_graph") for part in rounds))
        assert loop(decoder, [prompt], 0, settings)[0].token_ids == wanted
        counts.append(counter.frame_count)
    kinds_of_pieces = {
        "layers S and F, and those of each that an assistant would read": 4,
        "entry, two rotary embeddings, settle": 4,
        "a chain's masks and step, or a block and what it takes in": 2,
    }
    assert counts[0] == counts[1] <= sum(kinds_of_pieces.values())


@torch._dynamo.config.patch(recompile_limit=64)
@pytest.mark.parametrize("structure", ["dense_k_eq_v", "experts"])
def test_a_targets_changes_for_a_graph_give_the_same_tokens(structure: str, monkeypatch: pytest.MonkeyPatch):
    """Joined projections, and experts that a graph can hold: compiled as pieces, eagerly, and in the model itself."""
    model = tiny.target_model(structure, **SMALL)
    prompt = tiny.prompt(20)
    wanted = generate(load_target(model), None, prompt, max_new_tokens=30).token_ids
    monkeypatch.setattr("harness.target.target.choose_execution", lambda *_: "cuda_graph")
    monkeypatch.setattr(programs, "compiled", lambda f: torch.compile(f, backend="eager", fullgraph=True))
    monkeypatch.setattr(programs, "GraphProgram", lambda function: function)
    target = load_target(model)
    assert "forward" in vars(model.model.layers[0].mlp.up_proj)
    assert structure != "experts" or model.config._experts_implementation == EXPERTS
    assert generate(target, None, prompt, max_new_tokens=30).token_ids == wanted
    target.execution = "eager"
    assert generate(target, None, prompt, max_new_tokens=30).token_ids == wanted
    assert reference.transformers_greedy(model, prompt, 30) == wanted


@pytest.mark.parametrize("structure", ["dense_k_eq_v", "experts"])
def test_another_execution_finds_the_modules_as_they_were_loaded(structure: str, monkeypatch: pytest.MonkeyPatch):
    model = tiny.target_model(structure, **SMALL)
    experts = model.config._experts_implementation
    weights = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    target = load_target(model, execution="eager")
    monkeypatch.setattr("harness.target.target.choose_execution", lambda name, *_: name)
    for _ in range(2):
        target.set_execution("cuda_graph")
        assert "forward" in vars(model.model.layers[0].mlp.up_proj)
        target.set_execution("eager")
        assert not any({"forward", "joined"} & vars(module).keys() for module in model.modules())
        assert model.config._experts_implementation == experts
    assert all(torch.equal(tensor, weights[name]) for name, tensor in model.state_dict().items())


def test_shapes_of_a_round_never_change(monkeypatch: pytest.MonkeyPatch):
    model, drafters = small_pair()
    target = load_target(model)
    shapes: set[tuple] = set()
    verify = Decoder.verify

    def spy(self, proposal):
        seen, accepted, report = verify(self, proposal)
        tensors = (proposal.tokens, seen.tokens, seen.hidden, accepted.tokens, report)
        shapes.add(tuple(tuple(t.shape) for t in tensors))
        return seen, accepted, report

    monkeypatch.setattr(Decoder, "verify", spy)
    drafter = load_drafter("dflash", drafters["dflash"], target=target)
    answer = generate(target, drafter, tiny.prompt(20), num_draft_tokens=5, max_new_tokens=60)
    assert len({r.accepted for r in answer.rounds}) > 1, "rounds that all accept alike prove nothing"
    assert len(shapes) == 1


def test_a_decoder_is_kept_between_prompts_and_renewed_when_another_takes_its_drafter():
    model, drafters = small_pair()
    target, other = load_target(model), load_target(model)
    drafter = load_drafter("mtp", drafters["mtp"], target=target)
    options = {"num_draft_tokens": 2, "max_new_tokens": 12}
    first = generate(target, drafter, tiny.prompt(9), **options)
    kept = pool.peek(target, drafter)
    generate(target, drafter, tiny.prompt(5), **options)
    assert pool.peek(target, drafter) is kept
    generate(other, drafter, tiny.prompt(5), **options)
    again = generate(target, drafter, tiny.prompt(9), **options)
    assert again.token_ids == first.token_ids
    assert pool.peek(target, drafter) is not kept


def test_synthetic_rates_are_met_and_the_passes_still_run():
    model, drafters = small_pair()
    target = load_target(model)
    drafter = load_drafter("mtp", drafters["mtp"], target=target)
    rates = [0.8, 0.4, 0.1]
    answers = generate(
        target,
        drafter,
        [tiny.prompt(5, seed) for seed in range(8)],
        num_draft_tokens=3,
        max_new_tokens=150,
        synthetic_acceptance=rates,
    )
    rounds = [r for answer in answers for r in answer.rounds]
    for position, rate in enumerate(rates):
        share = sum(r.accepted > position for r in rounds) / len(rounds)
        assert abs(share - rate) < 4 * (rate * (1 - rate) / len(rounds)) ** 0.5


@pytest.mark.parametrize("rates", [[0.5, 0.6], [1.2], [-0.1]])
def test_synthetic_rates_that_cannot_be_are_refused(rates: list[float]):
    target = load_target(tiny.target_model(**SMALL))
    with pytest.raises(InputError, match="synthetic_acceptance"):
        generate(target, None, [5], synthetic_acceptance=rates)


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")
class TestOnCuda:
    @pytest.mark.parametrize(
        ("structure", "name", "execution"),
        [
            *((structure, name, "eager") for structure in tiny.EVERY_STRUCTURE for name in ("mtp", "dflash")),
            *((structure, "mtp", "cuda_graph") for structure in tiny.STRUCTURES),
            ("dense_k_eq_v", "dflash", "cuda_graph"),
            ("dense_k_eq_v", "dflash", "compile"),
        ],
    )
    def test_tokens_are_those_of_transformers(self, structure: str, name: str, execution: str):
        model = tiny.target_model(structure).cuda()
        drafters = {"mtp": tiny.assistant_model(model), "dflash": tiny.dflash_model(model)}
        target = load_target(model, execution=execution)
        prompt = tiny.prompt(20)
        wanted = model.generate(torch.tensor([prompt], device="cuda"), do_sample=False, max_new_tokens=60)
        drafter = load_drafter(name, drafters[name].cuda(), target=target)
        got = generate(target, drafter, prompt, num_draft_tokens=4, max_new_tokens=60)
        assert got.token_ids == wanted[0, len(prompt) :].tolist()

    @pytest.mark.parametrize("name", ["mtp", "dflash"])
    def test_no_synchronisation_inside_a_round(self, name: str):
        model = tiny.target_model().cuda()
        drafters = {"mtp": tiny.assistant_model(model), "dflash": tiny.dflash_model(model)}
        target = load_target(model, execution="eager")
        drafter = load_drafter(name, drafters[name].cuda(), target=target)
        settings = DecodeSettings(4, 20)
        decoder = Decoder(target, drafter, settings, 1, 64)
        loop(decoder, [tiny.prompt(20)], 0, settings)
        with torch.inference_mode():
            decoder.prefill(0, tiny.prompt(20), 0)
            programs = decoder.set_reach(64)
            torch.cuda.set_sync_debug_mode("error")
            try:
                seen, accepted, _ = programs.verify(programs.propose())
                programs.observe(seen, accepted)
            finally:
                torch.cuda.set_sync_debug_mode("default")

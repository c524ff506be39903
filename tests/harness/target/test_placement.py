"""A target spread over devices, or offloaded, gives the tokens of one that is not."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate import cpu_offload, dispatch_model
from accelerate.hooks import AlignDevicesHook, add_hook_to_module
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.backend_registration import _setup_privateuseone_for_python_backend
from transformers.models.gemma4.modeling_gemma4 import Gemma4TextModel

from drafters.base import Sampling
from drafters.errors import InputError
from harness import generate, load_drafter, load_target
from harness.decoding.decoder import Decoder, DecodeSettings
from harness.target.placement import runs_on
from harness.target.target import Target
from tests.helpers import reference
from tests.helpers import tiny_models as tiny

NEW = 12
NETWORKS = {"mtp": tiny.assistant_model, "dflash": tiny.dflash_model}
GPUS = torch.cuda.device_count()


def layer_map(model: Any, *devices: Any) -> dict[str, Any]:
    """Everything on the first device, the layers over all of them in equal runs."""
    count = len(model.model.layers)
    names = [name for name, _ in model.model.named_children() if name != "layers"]
    layers = {f"model.layers.{i}": devices[i * len(devices) // count] for i in range(count)}
    return {"lm_head": devices[0], **{f"model.{name}": devices[0] for name in names}, **layers}


@pytest.fixture(scope="module", params=tiny.EVERY_STRUCTURE)
def saved(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    folder = tmp_path_factory.mktemp("saved") / request.param
    reference.target(request.param).model.save_pretrained(folder)
    return request.param, folder


# -- offloading --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [None, "mtp", "dflash"])
def test_layers_fetched_from_disk_change_no_token(saved: tuple[str, Path], tmp_path: Path, name: str | None) -> None:
    structure, folder = saved
    model = reference.target(structure).model
    target = load_target(str(folder), device_map=layer_map(model, "cpu", "disk", "disk", "cpu"))
    assert target.placement.text == "cpu, 2 layers offloaded"
    assert target.text_model.layers[2].mlp.up_proj.weight.is_meta
    drafter = None if name is None else load_drafter(name, NETWORKS[name](model), target=target)
    for length in (7, 3 * tiny.WINDOW):
        found = generate(target, drafter, tiny.prompt(length), num_draft_tokens=4, max_new_tokens=NEW)
        assert found.token_ids == reference.answer(structure, length)[:NEW]


# -- several devices ---------------------------------------------------------------------------------------------------


def place(module: nn.Module, device: str) -> None:
    """Storage-less weights of `module` on `device`, and accelerate's hook that moves to it what the module is given."""
    for part in module.modules():
        for name, tensor in [*part.named_parameters(recurse=False), *part.named_buffers(recurse=False)]:
            kind = torch.bfloat16 if tensor.is_floating_point() else tensor.dtype  # as experts' kernels want it
            moved = torch.empty(tensor.shape, dtype=kind, device=device)
            if name in part._parameters:
                part._parameters[name] = nn.Parameter(moved, False)
            else:
                part._buffers[name] = moved
    skip = Gemma4TextModel._skip_keys_device_placement
    add_hook_to_module(module, AlignDevicesHook(torch.device(device), skip_keys=skip))


@pytest.fixture
def no_storage(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Devices mock:0 and mock:1 of tensors that hold nothing; what mixes devices is an error, as on real ones."""
    if torch._C._get_privateuse1_backend_name() != "mock":
        _setup_privateuseone_for_python_backend("mock")
    real = torch.tensor

    def empty(data: Any, **options: Any) -> torch.Tensor:
        return torch.empty(len(data), **options) if "device" in options else real(data, **options)

    monkeypatch.setattr(torch, "tensor", empty)  # its data has nowhere to go
    with FakeTensorMode(allow_non_fake_inputs=True):
        yield


def spread(structure: str) -> Target:
    """A target on mock:0 whose second half of layers, final norm and per-layer projection are on mock:1."""
    model = tiny.target_model(structure)
    for name, part in model.model.named_children():
        if name != "layers":
            place(part, "mock:1" if "norm" in name or "projection" in name else "mock:0")
    for index, layer in enumerate(model.model.layers):
        place(layer, "mock:0" if index < 2 else "mock:1")
    place(model.lm_head, "mock:0")
    return Target(model)


@pytest.mark.parametrize(("temperature", "batch"), [(0.0, 1), (1.0, 2)])
@pytest.mark.parametrize("name", ["mtp", "dflash"])
@pytest.mark.parametrize("structure", tiny.EVERY_STRUCTURE)
@torch.no_grad()
def test_every_part_of_a_round_meets_its_tensors_on_one_device(
    structure: str, name: str, temperature: float, batch: int, no_storage: None
) -> None:
    target = spread(structure)
    assert (str(target.device), target.placement.text) == ("mock:0", "mock:0, mock:1")
    network = NETWORKS[name](target.model)
    for part in network.children():
        place(part, "mock:0")
    drafter = load_drafter(name, network, target=target)
    decoder = Decoder(target, drafter, DecodeSettings(4, 20, Sampling(temperature)), batch, 64)
    for index, layer in enumerate(decoder.cache.layers):
        if layer is not None:
            assert layer.keys.device == layer.values.device == runs_on(target.text_model.layers[index])
    tokens, positions = torch.zeros(1, 9, dtype=torch.long, device="mock:0"), torch.arange(9, device="mock:0")[None]
    for row in range(batch):
        seen = target.run(decoder.cache.row(row), tokens, positions, decoder.taps)
        drafter.start(seen, row)
    programs = decoder.set_reach(decoder.reach_of(20))
    seen, accepted, report = programs.verify(programs.propose())
    programs.observe(seen, accepted)
    assert str(report.device) == str(seen.hidden.device) == "mock:0"


@pytest.mark.skipif(GPUS < 1, reason="needs a GPU")
@pytest.mark.parametrize("name", [None, "mtp", "dflash"])
def test_layers_in_the_cpus_memory_run_on_the_gpu(saved: tuple[str, Path], name: str | None) -> None:
    check_on_gpus(*saved, name, 0, "cpu")


@pytest.mark.skipif(GPUS < 2, reason="needs two GPUs")
@pytest.mark.parametrize("name", [None, "mtp", "dflash"])
def test_two_gpus_give_the_tokens_of_one(saved: tuple[str, Path], name: str | None) -> None:
    check_on_gpus(*saved, name, 0, 1)


def check_on_gpus(structure: str, folder: Path, name: str | None, *devices: Any) -> None:
    model = reference.target(structure).model
    target = load_target(str(folder), "cuda:0", device_map=layer_map(model, *devices))
    assert (str(target.device), target.execution) == ("cuda:0", "eager")
    drafter = None if name is None else load_drafter(name, NETWORKS[name](model).to("cuda:0"), target=target)
    found = generate(target, drafter, tiny.prompt(40), num_draft_tokens=4, max_new_tokens=NEW)
    whole = generate(load_target(str(folder), "cuda:0", execution="eager"), None, tiny.prompt(40), max_new_tokens=NEW)
    assert found.token_ids == whole.token_ids


# -- what cannot be ----------------------------------------------------------------------------------------------------


def test_a_spread_target_runs_eagerly_and_says_so(saved: tuple[str, Path]) -> None:
    structure, folder = saved
    layers = layer_map(reference.target(structure).model, "cpu", "disk")
    assert load_target(str(folder), device_map=layers).execution == "eager"
    for name in ("compile", "cuda_graph"):
        expected = rf"execution is '{name}', but the target is spread by .* \(cpu, 2 layers offloaded\)"
        with pytest.raises(InputError, match=expected):
            load_target(str(folder), execution=name, device_map=layers)


def test_one_device_is_no_spread(saved: tuple[str, Path]) -> None:
    target = load_target(str(saved[1]), device_map="auto")
    assert target.placement.layers is None or GPUS > 1


@pytest.mark.parametrize(
    ("part", "device", "message"),
    [
        ("model.embed_tokens", "disk", r"target\.device_map is .*lm_head on one device, not offloaded"),
        ("model.layers.0", "gpu7", r"target\.path: .* does not load: .*gpu7"),
        ("model.norm", None, r"target\.path: .* does not load: .*norm"),
    ],
)
def test_maps_that_cannot_be(part: str, device: str | None, message: str, tmp_path: Path) -> None:
    model = reference.target("dense_k_eq_v").model
    model.save_pretrained(tmp_path)
    wanted = {**layer_map(model, "cpu", "disk"), part: device}
    with pytest.raises(InputError, match=message):
        load_target(str(tmp_path), device_map={name: to for name, to in wanted.items() if to is not None})


def test_embedding_and_head_apart_are_refused(no_storage: None) -> None:
    model = spread("dense_k_eq_v").model
    place(model.lm_head, "mock:1")
    with pytest.raises(InputError, match=r"embed_tokens on mock:0 and lm_head on mock:1, expected both on one device"):
        Target(model)


def test_offloaded_embeddings_are_refused() -> None:
    with pytest.raises(InputError, match=r"target\.device_map offloads embed_tokens or lm_head"):
        Target(cpu_offload(tiny.target_model(), torch.device("cpu")))


def test_a_model_that_was_dispatched_before_is_taken_as_it_is(tmp_path: Path) -> None:
    model = tiny.target_model("kv_shared")
    expected = reference.transformers_greedy(model, tiny.prompt(30), 20)
    layers, skip = layer_map(model, "cpu", "disk"), model._skip_keys_device_placement
    target = load_target(dispatch_model(model, layers, "cpu", offload_dir=str(tmp_path), skip_keys=skip))
    assert target.placement.offloaded == 2
    assert generate(target, None, tiny.prompt(30), max_new_tokens=20).token_ids == expected

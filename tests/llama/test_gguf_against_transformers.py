"""Exported files compute what their checkpoints do: llama.cpp's greedy tokens are transformers', for every structure.

Greedy tokens are compared up to the first place where transformers itself has two tokens within TIE of each other.
Flash attention is off: on a CPU it computes in half precision.
"""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch

from harness.config.engine import EngineConfig
from harness.engines.gguf.write import export
from harness.engines.llama_cpp.engine import SCRIPT
from harness.engines.llama_cpp.settings import as_attributes
from harness.engines.worker import WorkerProcess
from harness.vocabulary import LLAMA_CPP
from tests.helpers import gguf_models as models

pytestmark = pytest.mark.llama

NEW_TOKENS = 24
TIE = 0.01  # in standard deviations of the logits; the rounding of single precision stays below 0.003
EXACT = {
    "ctx_size": 256, "parallel": 1, "threads": 1, "threads_batch": 1, "cache_type_k": "f32", "cache_type_v": "f32",
    "flash_attn": "off", "cache_prompt": False, "warmup": False,
}  # fmt: skip


@contextmanager
def serving(target: Path) -> Iterator[str]:
    """The address of a server on the loopback that runs the file."""
    settings: dict[str, Any] = {"model": str(target), **EXACT}
    python = EngineConfig(name=LLAMA_CPP).interpreter()
    worker = WorkerProcess(python, SCRIPT, {}, target.with_suffix(".log"), "llama.cpp")
    try:
        yield worker.ask("load", 60.0, settings=as_attributes(settings))["url"]
    finally:
        worker.close()


def ask(url: str, prompt: list[int]) -> dict[str, Any]:
    body = {
        "prompt": prompt, "n_predict": NEW_TOKENS, "temperature": 0.0, "samplers": ["temperature"],
        "return_tokens": True, "cache_prompt": False,
    }  # fmt: skip
    request = urllib.request.Request(
        f"{url}/completion", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=60) as response:
        return dict(json.load(response))


def prompts(vocabulary: int, count: int = 8) -> list[list[int]]:
    """Random tokens, up to three windows long."""
    generator = torch.Generator().manual_seed(5)
    lengths = torch.randint(3, 50, (count,), generator=generator).tolist()
    return [torch.randint(20, vocabulary, (length,), generator=generator).tolist() for length in lengths]


def certain(model: Any, prompt: list[int]) -> list[int]:
    """transformers' greedy tokens up to the first near-tie."""
    given = torch.tensor([prompt])
    made = model.generate(
        given, attention_mask=torch.ones_like(given), do_sample=False, max_new_tokens=NEW_TOKENS,
        eos_token_id=list(models.ENDS), return_dict_in_generate=True, output_logits=True,
    )  # fmt: skip
    tokens = made.sequences[0, len(prompt) :].tolist()
    for place, logits in enumerate(made.logits):
        best = logits[0].float().topk(2).values
        if best[0] - best[1] < TIE * logits.float().std():
            return tokens[:place]
    return tokens


@pytest.mark.parametrize("name", models.STRUCTURES)
def test_greedy_tokens_are_transformers(tmp_path: Path, name: str) -> None:
    model = models.target(name)
    folder = models.write_target(tmp_path / "target", model)
    compared = 0
    with serving(export(folder, tmp_path / "target.gguf").path) as url:
        for prompt in prompts(models.VOCAB):
            wanted = certain(model, prompt)
            assert ask(url, prompt)["tokens"][: len(wanted)] == wanted
            compared += len(wanted)
    assert compared > 50

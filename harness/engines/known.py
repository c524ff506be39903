"""The engines beside the harness's own loop, by name."""

from __future__ import annotations

from harness.engines.contract import Engine
from harness.engines.llama_cpp.engine import LlamaCpp
from harness.engines.vllm.engine import Vllm
from harness.vocabulary import LLAMA_CPP, VLLM

ENGINES: dict[str, Engine] = {VLLM: Vllm(), LLAMA_CPP: LlamaCpp()}

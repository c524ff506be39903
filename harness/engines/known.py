"""The engines beside the harness's own loop, by name."""

from __future__ import annotations

from harness.engines.contract import Engine
from harness.engines.vllm.engine import Vllm
from harness.vocabulary import VLLM

ENGINES: dict[str, Engine] = {VLLM: Vllm()}

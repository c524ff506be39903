"""vLLM's settings and sessions, as a run asks for them."""

from __future__ import annotations

from drafters.errors import InputError
from harness.config import RunConfig
from harness.engines.contract import Asked
from harness.engines.session import Session
from harness.engines.vllm.process import ProcessSession, arguments_of
from harness.engines.vllm.server import ServerSession
from harness.vocabulary import ENGINE_TITLES, VLLM


class Vllm:
    """vLLM: an `LLM` of our own in a process, or a running `vllm serve`."""

    name = VLLM
    title = ENGINE_TITLES[VLLM]
    #: vLLM raises any temperature between 0 and this to it.
    least_temperature = 0.01
    exact_in: tuple[str, ...] = ()

    def check(self, config: RunConfig) -> None:
        engine = config.engine
        if engine.binary is not None:
            raise InputError(f"engine.binary={engine.binary}: expected null, as vLLM runs through engine.python")
        if engine.data_parallel > 1 and engine.url is None:
            raise InputError(
                f"engine.data_parallel={engine.data_parallel}: vLLM spreads requests over copies only as a server; "
                f"start `vllm serve ... --data-parallel-size {engine.data_parallel}` and set engine.url"
            )
        for option, instead in (("speculative_config", "engine.speculative, per arm"), ("model", "target.path")):
            if option in engine.options:
                raise InputError(f"engine.options.{option}={engine.options[option]}: expected {instead}")
        for name, entries in engine.speculative.items():
            if (k := entries.get("num_speculative_tokens")) is not None:
                raise InputError(
                    f"engine.speculative.{name}.num_speculative_tokens={k}: expected drafters.{name}.num_draft_tokens, "
                    "which the records go by"
                )
        if engine.url is None:
            engine.interpreter()

    def connect(self, config: RunConfig, asked: Asked, url: str) -> Session:
        return ServerSession(url, config.engine.model, target=str(config.target.path), arm=asked.name, k=asked.k)

    def start(self, config: RunConfig, asked: Asked) -> Session:
        return ProcessSession(config.engine, arguments_of(config, asked), asked.log)

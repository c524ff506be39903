"""llama.cpp's settings, files and sessions, as a run asks for them."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from drafters.checkpoints.files import resolve_folder
from drafters.errors import InputError
from drafters.layouts.base import architecture
from harness.comparison.threads import engine_threads
from harness.config import RunConfig
from harness.config.checks import one_of
from harness.engines.contract import Asked
from harness.engines.gguf.fit import spec_type
from harness.engines.gguf.read import read_header
from harness.engines.llama_cpp.files import check_exports, check_files
from harness.engines.llama_cpp.server import Drafting, LlamaSession
from harness.engines.llama_cpp.settings import NGRAMS, as_attributes, as_flags, switch
from harness.engines.session import Session
from harness.engines.worker import WorkerProcess
from harness.vocabulary import ENGINE_TITLES, LLAMA_CPP

SCRIPT = Path(__file__).with_name("script.py")
#: Types of GGUF files that the harness writes, and those of the target's dtypes.
WEIGHTS = ("f32", "f16", "bf16", "q8_0")
OF_DTYPE = {"float32": "f32", "float16": "f16", "bfloat16": "bf16"}
#: Settings that follow from keys of the run.
TAKEN = {
    "model": "target.gguf or target.path",
    "model_draft": "drafters.NAME.gguf", "spec_draft_model": "drafters.NAME.gguf",
    "parallel": "batch_size", "spec_draft_n_max": "num_draft_tokens", "draft_max": "num_draft_tokens",
    "spec_draft_p_min": "drafters.NAME.stop=p_min with stop_threshold", "host": "engine.url", "port": "engine.url",
    "cache_prompt": "nothing, as every prompt is prefilled",
}  # fmt: skip


class LlamaCpp:
    """llama.cpp: its server in a process of our own, through xllamacpp or a binary, or a running llama-server."""

    name = LLAMA_CPP
    title = ENGINE_TITLES[LLAMA_CPP]
    least_temperature = 0.0
    exact_in: tuple[str, ...] = ("float32",)

    def check(self, config: RunConfig) -> None:
        engine = config.engine
        given = [("options", engine.options), *((f"speculative.{arm}", of) for arm, of in engine.speculative.items())]
        for where, settings in given:
            for name, value in settings.items():
                if name in TAKEN:
                    raise InputError(f"engine.{where}.{name}={value}: expected {TAKEN[name]}")
        for name, settings in engine.speculative.items():
            if (kind := settings.get("spec_type")) is not None:
                one_of(kind, tuple(NGRAMS), f"engine.speculative.{name}.spec_type")
        if "flash_attn" in engine.options:
            switch(engine.options["flash_attn"])
        if engine.weights is not None:
            one_of(engine.weights, WEIGHTS, "engine.weights")
        for arm in config.arms:
            stop = arm.options.get("stop")
            if arm.engine == LLAMA_CPP and stop not in (None, "p_min") and not engine.beside:
                raise InputError(f"drafters.{arm.name}.stop={stop}: llama.cpp knows p_min alone, expected it or null")
        check_files(config)
        check_exports(config)
        if engine.binary is not None and shutil.which(engine.binary) is None:
            raise InputError(f"engine.binary={engine.binary}: no such program, expected a llama-server")
        if engine.url is None and engine.binary is None:
            engine.interpreter()

    def connect(self, config: RunConfig, asked: Asked, url: str) -> Session:
        return LlamaSession(url, drafting_of(config, asked))

    def start(self, config: RunConfig, asked: Asked) -> Session:
        engine, settings = config.engine, settings_of(config, asked)
        python = engine.interpreter() if engine.binary is None else _own_python()
        worker = WorkerProcess(python, SCRIPT, engine.environment, asked.log, self.title)
        try:
            if engine.binary is None:
                loaded = worker.ask("load", engine.start_timeout_s, settings=as_attributes(settings))
            else:
                command = [str(shutil.which(engine.binary)), *as_flags(settings)]
                loaded = worker.ask("load", engine.start_timeout_s, command=command)
            loaded["settings"] = settings
            return LlamaSession(str(loaded["url"]), drafting_of(config, asked), worker, loaded)
        except BaseException:
            worker.close()
            raise


def drafting_of(config: RunConfig, asked: Asked) -> Drafting:
    """What the arm's server must do."""
    method = asked.method(LLAMA_CPP)
    if asked.planned is None or method is None:
        return Drafting(asked.name, 0, True, "none", asked.length, asked.dtype)
    options = asked.planned.arm.options
    full = asked.kind != "lookup" and options.get("stop") is None
    return Drafting(asked.name, asked.k, full, kind_of_draft(config, asked), asked.length, asked.dtype)


def kind_of_draft(config: RunConfig, asked: Asked) -> str:
    """llama.cpp's name for the arm's way of drafting."""
    method = asked.method(LLAMA_CPP)
    assert method is not None and asked.planned is not None
    drafter, file = asked.planned.drafter, asked.planned.arm.gguf
    if method.name == "draft-dflash" and file is not None:
        return spec_type(read_header(Path(file).expanduser(), f"drafters.{asked.planned.arm.name}.gguf"))
    if method.name == "draft-dflash" and drafter is not None and "dspark" in str(architecture(drafter)).lower():
        return "draft-dspark"
    own = config.engine.speculative.get(config.engine.asked_as(asked.name), {})
    return str(own.get("spec_type", method.name))


def settings_of(config: RunConfig, asked: Asked) -> dict[str, Any]:
    """The settings of an arm's server; the config's own come last and so win."""
    engine, exact = config.engine, asked.dtype == "float32"
    slot = int(engine.options.get("ctx_size", 0)) // config.batch_size
    if 0 < slot < asked.length:
        raise InputError(
            f"engine.options.ctx_size={engine.options['ctx_size']}: {slot} tokens for each of {config.batch_size} "
            f"prompts, and a prompt with its answer takes {asked.length}; expected {asked.length * config.batch_size}"
        )
    numbers = "f32" if exact else None  # llama.cpp's own default is f16
    threads = engine_threads(config)
    settings: dict[str, Any] = {
        "model": target_file(config, asked),
        "ctx_size": (asked.length + asked.k + 1) * config.batch_size,
        "parallel": config.batch_size,
        "kv_unified": False,
        "threads": threads,
        "threads_batch": threads,
        "cache_type_k": numbers,
        "cache_type_v": numbers,
        "flash_attn": "off" if exact else None,  # on a CPU it computes in half precision
        "cache_prompt": False,
        "cache_ram": 0,
        "metrics": True,
    }
    if asked.planned is not None and asked.method(LLAMA_CPP) is not None:
        settings |= speculative_of(config, asked, numbers, threads)
    return settings | engine.options | engine.speculative.get(engine.asked_as(asked.name), {})


def speculative_of(config: RunConfig, asked: Asked, numbers: str | None, threads: int) -> dict[str, Any]:
    """The settings of an arm's drafting."""
    assert asked.planned is not None
    arm, kind = asked.planned.arm, kind_of_draft(config, asked)
    if kind in NGRAMS:
        shortest, longest = NGRAMS[kind]
        return {"spec_type": kind, longest: asked.k} | (
            {} if shortest is None else {shortest: int(arm.options.get("max_ngram", 3))}
        )
    return {
        "spec_type": kind,
        "spec_draft_model": drafter_file(config, asked),
        "spec_draft_n_max": asked.k,
        "spec_draft_n_min": 0,
        "spec_draft_p_min": float(arm.options.get("stop_threshold", 0.0)) if arm.options.get("stop") else 0.0,
        "spec_draft_type_k": numbers,
        "spec_draft_type_v": numbers,
        "spec_draft_threads": threads,
        "spec_draft_threads_batch": threads,
    }


def target_file(config: RunConfig, asked: Asked) -> str:
    """The target's GGUF file: the named one, or one made from the checkpoint."""
    if config.target.gguf is not None:
        return str(Path(config.target.gguf).expanduser())
    folder = resolve_folder(str(config.target.path), "target.path", config.target.revision)
    return str(_exported()(folder, weights_of(config, asked), None, key="target.path"))


def drafter_file(config: RunConfig, asked: Asked) -> str:
    """The drafter's GGUF file: the named one, or one made from its checkpoint."""
    assert asked.planned is not None
    arm = asked.planned.arm
    if arm.gguf is not None:
        return str(Path(arm.gguf).expanduser())
    key = f"drafters.{config.engine.asked_as(arm.name)}.path"
    target = resolve_folder(str(config.target.path), "target.path", config.target.revision)
    return str(_exported()(resolve_folder(str(arm.path), key), weights_of(config, asked), target, key=key))


def weights_of(config: RunConfig, asked: Asked) -> str:
    """The type in which a checkpoint is written."""
    return config.engine.weights or OF_DTYPE.get(asked.dtype, "f16")


def _exported() -> Any:
    """The writer of GGUF files, whose package an engine with files of its own does without."""
    from harness.engines.gguf.kept import exported

    return exported


def _own_python() -> str:
    import sys

    return sys.executable

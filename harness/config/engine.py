"""`engine`: the harness's own loop, or another engine behind the same arms."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from typing import Any

from drafters.errors import InputError
from drafters.registry import kind_of
from harness.config.arms import Arm
from harness.config.checks import at_least, count, one_of
from harness.vocabulary import BASELINE, ENGINE_TITLES, ENGINES, HARNESS, LLAMA_CPP, ROOT, VLLM

#: The package of each engine, the environment that is looked for where it is missing, and what installs it.
INSTALLED = {
    VLLM: ("vllm", ".venv-vllm", "make the environment with `bash tools/vllm/environment.sh`"),
    LLAMA_CPP: (
        "xllamacpp", ".venv-llama", "engine.binary to a llama-server, or pip install 'drafthouse[llama]'"
    ),
}  # fmt: skip


@dataclass
class EngineConfig:
    """`name` decodes the run's arms. With `beside`, the harness decodes them too; the engine's are called `vllm_...`.

    `url` is a running server instead of a process of our own: one address, or one per arm, as a server runs one way of
    drafting; beside the harness, arms without one are left to the harness. `model` is the server's name for the target
    (null: its only model, or the one served from target.path). `python` has the engine installed (null: this one if it
    has, else the environment that its make target makes), `binary` is llama.cpp's server instead. `options` are passed
    on to the engine, `speculative` to its speculative configuration per arm, `environment` to its process. `weights` is
    the type of a GGUF file made from a checkpoint (null: that of target.dtype).
    """

    name: str = HARNESS
    beside: bool = False
    python: str | None = None
    binary: str | None = None
    url: Any = None
    model: str | None = None
    tensor_parallel: int = 1
    pipeline_parallel: int = 1
    data_parallel: int = 1
    options: dict[str, Any] = field(default_factory=dict)
    speculative: dict[str, dict[str, Any]] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)
    weights: str | None = None
    start_timeout_s: float = 1800.0

    def __post_init__(self) -> None:
        one_of(self.name, ENGINES, "engine")
        if self.beside and self.name == HARNESS:
            raise InputError(f"engine.beside=true: expected engine={VLLM} or {LLAMA_CPP}, to run beside the harness")
        for key in ("tensor_parallel", "pipeline_parallel", "data_parallel"):
            count(getattr(self, key), f"engine.{key}")
        at_least(self.start_timeout_s, 0.0, "engine.start_timeout_s")
        if self.url is not None and not isinstance(self.url, str | dict):
            raise InputError(f"engine.url={self.url}: expected an address, or one per arm as {{mtp: http://...}}")

    @property
    def runs_baseline(self) -> bool:
        """Whether the run's baseline is this engine's and not the harness's."""
        return self.name != HARNESS and not self.beside

    def arms(self, own: Sequence[Arm]) -> tuple[Arm, ...]:
        """The run's arms, each with its engine; `own` are the arms of the config, without the baseline."""
        if self.name == HARNESS:
            return tuple(own)
        if not self.beside:
            return tuple(replace(arm, engine=self.name) for arm in own)
        both = [Arm(BASELINE, BASELINE, None, None), *(arm for arm in own if self.name in kind_of(arm.kind).engines)]
        theirs = [replace(arm, name=f"{self.name}_{arm.name}", engine=self.name) for arm in both if self.has(arm.name)]
        return (*own, *theirs)

    def has(self, arm: str) -> bool:
        """Whether this engine, beside the harness, decodes `arm`: with servers, those arms that have one."""

        return arm in self.url if isinstance(self.url, dict) else self.url is None or arm != BASELINE

    def asked_as(self, arm: str) -> str:
        """The name under which the configuration speaks of `arm`."""
        return arm.removeprefix(f"{self.name}_") if self.beside else arm

    def url_of(self, arm: str) -> str | None:
        """The address of the server that decodes `arm`; None for a process of its own."""
        if self.url is None or isinstance(self.url, str):
            return self.url
        return self.url.get(self.asked_as(arm))

    def interpreter(self) -> str:
        """The Python that has the engine. Raises InputError where there is none."""
        if self.python is not None:
            return self.python
        package, folder, how = INSTALLED[self.name]
        if find_spec(package) is not None:
            return sys.executable
        made = ROOT / folder / "bin" / "python"
        if made.exists():
            return str(made)
        raise InputError(
            f"engine={self.name}: {ENGINE_TITLES[self.name]} is not installed here; set engine.python to a Python that "
            f"has it, engine.url to a running server, or {how}"
        )

"""llama.cpp's settings under one name each, and the two ways in which its server takes them.

A setting is named as llama-server's long option, with underscores: `cache_type_k` is `--cache-type-k` of the binary and
an attribute of xllamacpp's CommonParams. Names that are not listed here are passed on: to the binary as an option, to
xllamacpp as the attribute of that (dotted) name.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from drafters.errors import InputError

#: Where CommonParams holds a setting; other settings are attributes under their own names.
ATTRIBUTES = {
    "model": "model.path",
    "ctx_size": "n_ctx",
    "parallel": "n_parallel",
    "threads": "cpuparams.n_threads",
    "threads_batch": "cpuparams_batch.n_threads",
    "gpu_layers": "n_gpu_layers",
    "flash_attn": "flash_attn_type",
    "batch_size": "n_batch",
    "ubatch_size": "n_ubatch",
    "metrics": "endpoint_metrics",
    "cache_ram": "cache_ram_mib",
    "ctx_checkpoints": "n_ctx_checkpoints",
    "spec_type": "speculative.types",
    "spec_draft_model": "speculative.draft.mparams.path",
    "spec_draft_n_max": "speculative.draft.n_max",
    "spec_draft_n_min": "speculative.draft.n_min",
    "spec_draft_p_min": "speculative.draft.p_min",
    "spec_draft_type_k": "speculative.draft.cache_type_k",
    "spec_draft_type_v": "speculative.draft.cache_type_v",
    "spec_draft_threads": "speculative.draft.cpuparams.n_threads",
    "spec_draft_threads_batch": "speculative.draft.cpuparams_batch.n_threads",
    "spec_draft_ngl": "speculative.draft.n_gpu_layers",
    "spec_draft_backend_sampling": "speculative.draft.backend_sampling",
    "spec_ngram_simple_size_n": "speculative.ngram_simple.size_n",
    "spec_ngram_simple_size_m": "speculative.ngram_simple.size_m",
    "spec_ngram_simple_min_hits": "speculative.ngram_simple.min_hits",
    "spec_ngram_map_k_size_n": "speculative.ngram_map_k.size_n",
    "spec_ngram_map_k_size_m": "speculative.ngram_map_k.size_m",
    "spec_ngram_map_k_min_hits": "speculative.ngram_map_k.min_hits",
    "spec_ngram_map_k4v_size_n": "speculative.ngram_map_k4v.size_n",
    "spec_ngram_map_k4v_size_m": "speculative.ngram_map_k4v.size_m",
    "spec_ngram_map_k4v_min_hits": "speculative.ngram_map_k4v.min_hits",
    "spec_ngram_mod_n_match": "speculative.ngram_mod.n_match",
    "spec_ngram_mod_n_min": "speculative.ngram_mod.n_min",
    "spec_ngram_mod_n_max": "speculative.ngram_mod.n_max",
}
#: Settings that are a type of numbers: f32, f16, bf16, q8_0, q4_0, ...
TYPES = ("cache_type_k", "cache_type_v", "spec_draft_type_k", "spec_draft_type_v")
FLASH = {"on": "ENABLED", "off": "DISABLED", "auto": "AUTO"}
#: Ways to copy from the text, with the settings that hold the length of the n-gram and of the draft.
NGRAMS: dict[str, tuple[str | None, str]] = {
    "ngram-simple": ("spec_ngram_simple_size_n", "spec_ngram_simple_size_m"),
    "ngram-map-k": ("spec_ngram_map_k_size_n", "spec_ngram_map_k_size_m"),
    "ngram-map-k4v": ("spec_ngram_map_k4v_size_n", "spec_ngram_map_k4v_size_m"),
    "ngram-mod": ("spec_ngram_mod_n_match", "spec_ngram_mod_n_max"),
    "ngram-cache": (None, "spec_draft_n_max"),
}


def as_attributes(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings for xllamacpp's CommonParams, by dotted path; members of enumerations as `script.member` reads them."""
    return {ATTRIBUTES.get(name, name): _member(name, value) for name, value in settings.items() if value is not None}


def _member(name: str, value: Any) -> Any:
    if name in TYPES:
        return f"enum:ggml_type:GGML_TYPE_{str(value).upper()}"
    if name == "flash_attn":
        return f"enum:llama_flash_attn_type:LLAMA_FLASH_ATTN_TYPE_{FLASH[switch(value)]}"
    if name == "spec_type":
        kinds = str(value).split(",")
        prefix = "enum:common_speculative_type:COMMON_SPECULATIVE_TYPE_"
        return [prefix + one.upper().replace("-", "_") for one in kinds]
    return value


def as_flags(settings: Mapping[str, Any]) -> list[str]:
    """Settings for a llama-server binary: true is a bare option, false its opposite, a list one option per entry."""
    flags: list[str] = []
    for name, value in settings.items():
        option = name.replace("_", "-")
        if name == "flash_attn":
            flags += [f"--{option}", switch(value)]
        elif value is True:
            flags.append(f"--{option}")
        elif value is False:
            flags.append(f"--no-{option}")
        elif value is not None:
            for one in value if isinstance(value, list) else [value]:
                flags += [f"--{option}", str(one)]
    return flags


def switch(value: Any) -> str:
    """`on`, `off` or `auto`, which YAML reads as true and false. Raises InputError for anything else."""
    word = {True: "on", False: "off"}.get(value, value) if isinstance(value, bool) else value
    if word not in FLASH:
        raise InputError(f"engine.options.flash_attn={value}: expected on, off or auto")
    return str(word)

"""One name per setting, for the library and for the binary."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from drafters.errors import InputError
from harness.engines.llama_cpp.script import assign
from harness.engines.llama_cpp.settings import as_attributes, as_flags

SETTINGS = {
    "model": "m.gguf", "threads": 2, "cache_type_k": "q8_0", "flash_attn": True, "metrics": True, "kv_unified": False,
    "spec_type": "draft-mtp", "spec_draft_p_min": 0.0, "cache_type_v": None, "swa_full": True,
}  # fmt: skip


def test_a_binary_gets_long_options() -> None:
    assert as_flags(SETTINGS) == [
        "--model", "m.gguf", "--threads", "2", "--cache-type-k", "q8_0", "--flash-attn", "on", "--metrics",
        "--no-kv-unified", "--spec-type", "draft-mtp", "--spec-draft-p-min", "0.0", "--swa-full",
    ]  # fmt: skip


def test_the_library_gets_attributes_by_path() -> None:
    assert as_attributes(SETTINGS) == {
        "model.path": "m.gguf",
        "cpuparams.n_threads": 2,
        "cache_type_k": "enum:ggml_type:GGML_TYPE_Q8_0",
        "flash_attn_type": "enum:llama_flash_attn_type:LLAMA_FLASH_ATTN_TYPE_ENABLED",
        "endpoint_metrics": True,
        "kv_unified": False,
        "speculative.types": ["enum:common_speculative_type:COMMON_SPECULATIVE_TYPE_DRAFT_MTP"],
        "speculative.draft.p_min": 0.0,
        "swa_full": True,
    }


def test_an_unknown_switch_is_refused_by_name() -> None:
    with pytest.raises(InputError, match=r"engine\.options\.flash_attn=maybe: expected on, off or auto"):
        as_flags({"flash_attn": "maybe"})


def test_parameters_that_are_not_there_are_named() -> None:
    params = SimpleNamespace(model=SimpleNamespace(path=""), cache=None)
    library = SimpleNamespace(ggml_type=SimpleNamespace(GGML_TYPE_F32=0))
    assign(params, "model.path", "m.gguf", library)
    assign(params, "cache", "enum:ggml_type:GGML_TYPE_F32", library)
    assert (params.model.path, params.cache) == ("m.gguf", 0)
    for path, value in (("modle.path", 1), ("model.pth", 1), ("cache", "enum:ggml_type:GGML_TYPE_Q9")):
        with pytest.raises(ValueError, match=r"this version of xllamacpp has no"):
            assign(params, path, value, library)

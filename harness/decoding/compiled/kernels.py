"""The kernels of kernels.cpp and chain.cpp as operations of torch, and their library, built once per machine.

`drafthouse::few_rows(x [M, K], weights [N, K] each) -> [M, sum of N]` and
`drafthouse::attend(q [B, H, R, D], k, v [B, H, S, D], mask [B|1, 1, R, S], scale) -> [B, H, R, D]`, all fp32 on a CPU.
`drafthouse::chain(inputs, code) -> [code[0]]` are the steps of `code` (`harness.decoding.compiled.code`) over `inputs`.
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import torch
from torch import Tensor

from harness.records.cache import cache_dir

SOURCES = [Path(__file__).with_name(name) for name in ("kernels.cpp", "chain.cpp", "kernels.h")]
FLAGS = ("-O3", "-march=native", "-fopenmp", "-fPIC", "-shared", "-std=c++17", "-ffp-contract=fast", "-fno-math-errno")

#: How an ahead-of-time program declares and calls them.
DECLARATIONS = {
    "few_rows": "AOTITorchError aoti_torch_cpu_few_rows("
    "AtenTensorHandle x, const AtenTensorHandle* ws, int64_t count, AtenTensorHandle* ret0);",
    "attend": "AOTITorchError aoti_torch_cpu_attend(AtenTensorHandle q, AtenTensorHandle k, AtenTensorHandle v, "
    "AtenTensorHandle mask, double scale, AtenTensorHandle* ret0);",
    "chain": "AOTITorchError aoti_torch_cpu_chain(const AtenTensorHandle* inputs, int64_t count, const int64_t* code, "
    "int64_t length, AtenTensorHandle* ret0);",
}

_library = torch.library.Library("drafthouse", "FRAGMENT")
_library.define("few_rows(Tensor x, Tensor[] weights) -> Tensor")
_library.define("chain(Tensor[] inputs, int[] code) -> Tensor")
_library.define("attend(Tensor q, Tensor k, Tensor v, Tensor mask, float scale) -> Tensor")


def _few_rows_shape(x: Tensor, weights: list[Tensor]) -> Tensor:
    return x.new_empty(x.shape[0], sum(weight.shape[0] for weight in weights))


def _attend_shape(q: Tensor, k: Tensor, v: Tensor, mask: Tensor, scale: float) -> Tensor:
    return q.new_empty(q.shape)


def _chain_shape(inputs: list[Tensor], code: list[int]) -> Tensor:
    return inputs[0].new_empty(code[0], dtype=torch.float32)


_library.impl("chain", _chain_shape, "Meta")
_library.impl("few_rows", _few_rows_shape, "Meta")
_library.impl("attend", _attend_shape, "Meta")
few_rows = torch.ops.drafthouse.few_rows.default
attend = torch.ops.drafthouse.attend.default
chain = torch.ops.drafthouse.chain.default


@functools.cache
def compiler() -> str | None:
    """The C++ compiler: `$CXX`, g++ or clang++; None where there is none."""
    for name in (os.environ.get("CXX"), "g++", "clang++"):
        if name and (found := shutil.which(name)):
            return found
    return None


def build(folder: Path) -> Path:
    """The library in `folder`, built where it is missing. Raises OSError or CalledProcessError."""
    libraries = Path(torch.__file__).parent / "lib"
    about = [*(source.read_text(encoding="utf-8") for source in SOURCES), *FLAGS, str(libraries)]
    name = hashlib.sha256(" ".join(about).encode()).hexdigest()[:16]
    path = folder / f"kernels-{name}.so"
    if not path.exists():
        with tempfile.TemporaryDirectory(dir=folder) as work:
            made = Path(work) / "kernels.so"
            against = [f"-L{libraries}", "-ltorch_cpu", f"-Wl,-rpath,{libraries}"]
            sources = [str(source) for source in SOURCES if source.suffix == ".cpp"]
            command = [compiler() or "g++", *FLAGS, *sources, "-Wl,--no-as-needed", *against, "-o", str(made)]
            subprocess.run(command, check=True, capture_output=True, text=True)
            os.replace(made, path)
    return path


@functools.cache
def load(processor: str) -> ctypes.CDLL:
    """Make the kernels known to programs that are loaded later; built anew for another `processor`."""
    return ctypes.CDLL(str(build(cache_dir("programs", processor))), mode=ctypes.RTLD_GLOBAL)

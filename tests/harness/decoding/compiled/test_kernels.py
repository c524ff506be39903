"""The kernels of few rows give what torch gives, whatever the mask's shape."""

from __future__ import annotations

import ctypes

import pytest
import torch
from torch import Tensor

from harness.decoding.compiled import kernels, package
from harness.decoding.compiled.steps import LANES

handles = torch._C._aoti
pointer_of, capsule_of = ctypes.pythonapi.PyCapsule_GetPointer, ctypes.pythonapi.PyCapsule_New
pointer_of.restype, pointer_of.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
capsule_of.restype, capsule_of.argtypes = ctypes.py_object, [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(kernels.compiler() is None, reason="needs a C++ compiler"),
]


def attend(q: Tensor, k: Tensor, v: Tensor, mask: Tensor, scale: float) -> Tensor:
    """The kernel's own attention, called as a package calls it."""
    library = kernels.load(package.processor())
    inputs = [pointer_of(handles.unsafe_alloc_void_ptr_from_tensor(one), None) for one in (q, k, v, mask)]
    out = ctypes.c_void_p()
    code = library.aoti_torch_cpu_attend(*map(ctypes.c_void_p, inputs), ctypes.c_double(scale), ctypes.byref(out))
    assert code == 0
    found: Tensor = handles.alloc_tensor_by_stealing_from_void_ptr(capsule_of(out, None, None))
    return found


@pytest.mark.parametrize("queries", [1, 2, 3, 7])
@pytest.mark.parametrize("mask_rows", ["one", "each"])
@pytest.mark.parametrize("mask_batch", [1, 2])
def test_attention_is_torchs_own(queries: int, mask_rows: str, mask_batch: int):
    batch, heads, stored, dim = 2, 3, 21, 2 * LANES
    torch.manual_seed(queries)
    q, k, v = (torch.randn(batch, heads, rows, dim) for rows in (queries, stored, stored))
    rows = 1 if mask_rows == "one" else queries
    hidden = torch.rand(mask_batch, 1, rows, stored) < 0.4
    hidden[..., 5] = False
    mask = torch.zeros(mask_batch, 1, rows, stored).masked_fill(hidden, -torch.inf)
    expected = torch.nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=mask, scale=0.3)
    torch.testing.assert_close(attend(q, k, v, mask, 0.3), expected, rtol=1e-5, atol=1e-6)


def test_a_query_that_sees_nothing_gives_zeros_beside_one_that_sees_something():
    q, k, v = (torch.randn(1, 1, rows, LANES) for rows in (2, 4, 4))
    mask = torch.tensor([[0.0, 0.0, -torch.inf, -torch.inf], [-torch.inf] * 4]).view(1, 1, 2, 4)
    found = attend(q, k, v, mask, 1.0)
    assert found[0, 0, 1].eq(0).all() and found[0, 0, 0].isfinite().all() and found[0, 0, 0].ne(0).any()

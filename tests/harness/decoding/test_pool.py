"""Decoders are kept per arm, and never longer than their target."""

from __future__ import annotations

import gc
import weakref

import pytest

from harness import generate, load_drafter, load_target
from harness.decoding import pool
from tests.helpers import tiny_models as tiny

SMALL = {"num_hidden_layers": 2, "layer_types": [tiny.S, tiny.F]}


@pytest.mark.parametrize("name", [None, "mtp", "random"])
def test_a_target_that_is_let_go_of_is_freed_with_its_decoders(name: str | None) -> None:
    model = tiny.target_model(**SMALL)
    target = load_target(model)
    network = tiny.assistant_model(model) if name == "mtp" else None
    drafter = None if name is None else load_drafter(name, network, target=target)
    generate(target, drafter, tiny.prompt(5), max_new_tokens=4)
    gone = [weakref.ref(target), weakref.ref(pool.peek(target, drafter).cache)]
    del target, drafter
    gc.collect()
    assert [one() for one in gone] == [None, None]


def test_dropping_one_arm_leaves_the_others() -> None:
    target = load_target(tiny.target_model(**SMALL))
    drafter = load_drafter("random", target=target)
    for arm in (None, drafter):
        generate(target, arm, tiny.prompt(5), max_new_tokens=4)
    pool.drop(target, drafter)
    assert pool.peek(target, None).k == 0
    with pytest.raises(KeyError):
        pool.peek(target, drafter)
    pool.clear(target)
    with pytest.raises(KeyError):
        pool.peek(target, None)


def test_a_target_holds_no_state_of_a_generation() -> None:
    target = load_target(tiny.target_model(**SMALL))
    before = dict(vars(target))
    generate(target, None, tiny.prompt(5), max_new_tokens=4)
    assert vars(target) == before

"""`generate` takes text and messages as well as token ids, and its answer has a text."""

from __future__ import annotations

from typing import Any

import pytest
from transformers import AutoTokenizer

from drafters.errors import InputError
from harness import generate, load_drafter, load_target
from harness.target.target import Target
from harness.vocabulary import ASSETS
from tests.helpers import reference
from tests.helpers import tiny_models as tiny

FOLDER = ASSETS / "target"
ASKED = [{"role": "user", "content": "Name three rivers."}]
NEW = 24


@pytest.fixture(scope="module")
def target() -> Target:
    return load_target(FOLDER, execution="eager")


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return AutoTokenizer.from_pretrained(FOLDER)


def test_a_string_is_decoded_as_its_token_ids_are(target: Target, tokenizer: Any) -> None:
    text = "The capital"
    drafter = load_drafter("mtp", ASSETS / "mtp", target=target)
    options = {"max_new_tokens": NEW, "eos_token_ids": target.eos_token_ids}
    expected = generate(target, None, tokenizer(text)["input_ids"], **options)
    found = generate(target, drafter, text, max_new_tokens=NEW)
    assert found.token_ids == expected.token_ids
    assert found.text == expected.text == tokenizer.decode(expected.token_ids, skip_special_tokens=True)


def test_messages_go_through_the_chat_template_and_end_at_its_end_tokens(target: Target, tokenizer: Any) -> None:
    prompt = tokenizer.apply_chat_template(ASKED, add_generation_prompt=True, return_dict=True)["input_ids"]
    expected = generate(target, None, list(prompt), max_new_tokens=NEW, eos_token_ids=target.eos_token_ids)
    assert generate(target, None, ASKED, max_new_tokens=NEW).token_ids == expected.token_ids


def test_a_batch_may_mix_text_messages_and_token_ids(target: Target, tokenizer: Any) -> None:
    prompts = ["The capital", ASKED, tokenizer("The capital")["input_ids"]]
    first, second, third = generate(target, None, prompts, max_new_tokens=NEW)
    assert first.token_ids == third.token_ids
    assert second.token_ids == generate(target, None, ASKED, max_new_tokens=NEW).token_ids


def test_token_ids_end_only_where_they_are_asked_to(target: Target) -> None:
    assert len(generate(target, None, [2, 105, 107, 106], max_new_tokens=NEW).token_ids) == NEW


@pytest.mark.parametrize(
    ("prompt", "said"),
    [
        ([{"role": "user"}], "expected {'role'"),
        ([*ASKED, "and?"], "message 'and\\?': expected"),
        ([], "prompt_ids is empty"),
        ([[]], "prompt 0 is empty"),
        ([{"role": "robot", "content": 3}], "chat template refused|prompt 0"),
    ],
)
def test_a_prompt_that_is_none_is_named(target: Target, prompt: Any, said: str) -> None:
    with pytest.raises(InputError, match=said):
        generate(target, None, prompt)


def test_a_target_without_a_tokenizer_takes_token_ids_alone() -> None:
    built = reference.target("kv_shared")
    with pytest.raises(InputError, match="no tokenizer: expected token ids"):
        generate(built, None, "text")
    found = generate(built, None, tiny.prompt(5), max_new_tokens=2)
    assert len(found.token_ids) == 2
    with pytest.raises(InputError, match="no tokenizer"):
        _ = found.text


def test_a_tokenizer_without_a_chat_template_reads_text_but_no_messages(tokenizer: Any) -> None:
    class Plain:
        chat_template = None

        def __call__(self, text: str) -> dict[str, list[int]]:
            return {"input_ids": [len(text)]}

    built = load_target(tiny.target_model("kv_shared"))
    built.tokenizer = Plain()
    assert len(generate(built, None, "four", max_new_tokens=2).token_ids) == 2
    with pytest.raises(InputError, match="no chat template"):
        generate(built, None, ASKED)

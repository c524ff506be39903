"""Turns are rendered by the target's own template, and histories go through it again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from drafters.errors import InputError
from harness.config import DatasetConfig
from harness.metrics.mark_guards import mark_guards
from harness.tasks.chat import Chat, check_length, load_tokenizer
from harness.tasks.marks import marked_prompts
from harness.tasks.prompts import Prompt
from harness.tasks.token_numbers import NumberTokenizer

TEMPLATE = (
    "<s>{% if enable_thinking %}<think>{% endif %}"
    "{% for m in messages %}<{{ m.role }}>{{ m.content }}<end>{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)
MARKS = ["<s>", "<end>", "<system>", "<user>", "<assistant>", "<think>"]


def tokenizer(template: str | None = TEMPLATE) -> Any:
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    inner = Tokenizer(models.BPE(vocab={c: i for i, c in enumerate(alphabet)}, merges=[]))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    inner.decoder = decoders.ByteLevel()
    inner.add_special_tokens(MARKS)
    return PreTrainedTokenizerFast(tokenizer_object=inner, bos_token="<s>", eos_token="<end>", chat_template=template)


def chat(**options: Any) -> Chat:
    return Chat(tokenizer(), DatasetConfig(path="rows.jsonl", **options))


def test_the_template_writes_the_marks_and_nothing_is_added_twice() -> None:
    rendered = chat().render(Prompt("a", "c", ("Hi",), opening=(("system", "Be brief."),)), [])
    assert rendered.text == "<s><system>Be brief.<end><user>Hi<end><assistant>"
    assert tokenizer().decode(rendered.token_ids) == rendered.text
    assert rendered.token_ids.count(tokenizer().bos_token_id) == 1


def test_later_turns_stand_after_the_given_answers() -> None:
    rendered = chat().render(Prompt("a", "c", ("One?", "Two?")), ["First."])
    assert rendered.text == "<s><user>One?<end><assistant>First.<end><user>Two?<end><assistant>"


@pytest.mark.parametrize(("thinking", "start"), [(True, "<s><think>"), (False, "<s><user>"), (None, "<s><user>")])
def test_thinking_is_the_templates_switch(thinking: bool | None, start: str) -> None:
    view = chat(thinking=thinking)
    assert view.render(Prompt("a", "c", ("Hi",)), []).text.startswith(start)
    assert view.describe()["thinking"] is thinking


def test_answers_are_read_without_marks_and_repeated_without_their_end() -> None:
    view, ids = chat(), tokenizer()("<think>so<end>")["input_ids"]
    assert view.text(ids) == "so"
    assert view.history(ids, [tokenizer().eos_token_id]) == "<think>so"


def test_a_tokenizer_without_a_template_is_refused_until_raw_text_is_asked_for() -> None:
    with pytest.raises(InputError, match=r"dataset\.chat_template=false"):
        Chat(tokenizer(template=None), DatasetConfig(path="rows.jsonl"))
    raw = Chat(tokenizer(template=None), DatasetConfig(path="rows.jsonl", chat_template=False))
    assert raw.render(Prompt("a", "c", ("One", "Two")), ["1"]).text == "One\n\n1\n\nTwo"


def test_a_template_that_refuses_a_prompt_names_it() -> None:
    strict = tokenizer("{{ raise_exception('no system here') }}")
    with pytest.raises(InputError, match=r"prompt p7: .*no system here"):
        Chat(strict, DatasetConfig(path="rows.jsonl")).render(Prompt("p7", "c", ("Hi",)), [])


def test_special_tokens_in_a_prompts_text_are_found_and_rendered_unchanged() -> None:
    view = chat()
    prompts = [
        Prompt("fine", "c", ("Is 1 < 2 > 0, and what is <b>?",)),
        Prompt("first", "c", ("Write <end> here",)),
        Prompt("later", "c", ("Hi", "<s>struck</s>"), opening=(("system", "Use <think>"),)),
    ]
    marked = view.marked(prompts)
    assert marked == {"first": ["<end>"], "later": ["<s>", "<think>"]}
    assert view.render(prompts[1], []).token_ids.count(tokenizer().eos_token_id) == 2
    [guard] = mark_guards(marked, templated=True)
    assert (guard.code, guard.severity) == ("special_tokens_in_text", "warning")
    assert "text of 2 prompts: first (<end>), later (<s>, <think>); the target reads them as marks" in guard.message
    assert [guard.severity for guard in mark_guards(marked, templated=False)] == ["info"]
    assert mark_guards({}, templated=True) == []
    assert "and 2 more" in mark_guards({str(index): ["<end>"] for index in range(5)}, templated=True)[0].message


def test_a_mark_that_the_tokenizer_reads_as_text_does_not_count() -> None:
    alone = tokenizer()
    alone.add_special_tokens({"additional_special_tokens": [AddedToken("END", single_word=True, special=True)]})
    found = marked_prompts([Prompt("a", "c", ("WEEKEND",)), Prompt("b", "c", ("THE END",))], alone)
    assert found == {"b": ["END"]}
    assert marked_prompts([Prompt("a", "c", ("<end>",))], NumberTokenizer(9)) == {}


def test_a_folder_without_a_tokenizer_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f"target.path={tmp_path}: no tokenizer"):
        load_tokenizer(str(tmp_path))


def test_a_saved_tokenizer_is_found(tmp_path: Path) -> None:
    tokenizer().save_pretrained(tmp_path)
    assert Chat(load_tokenizer(str(tmp_path)), DatasetConfig(path="rows.jsonl")).template == TEMPLATE


def test_a_prompt_must_leave_room_for_its_answer() -> None:
    check_length(90, 10, 100, "p")
    with pytest.raises(InputError, match=r"prompt p: 91 tokens and max_new_tokens=10 need 101 positions.* has 100"):
        check_length(91, 10, 100, "p")

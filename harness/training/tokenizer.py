"""A small byte-level BPE with Gemma 4's special tokens and turn format, saved so that AutoTokenizer loads it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from drafters.errors import InputError
from harness.training.corpus import Chat

# The first five, `<mask>` among them, have the ids of Gemma's own tokenizer.
SPECIAL_TOKENS = (
    "<pad>", "<eos>", "<bos>", "<unk>", "<mask>", "<|turn>", "<turn|>", "<|think|>", "<|channel>", "<channel|>",
    "<|tool>", "<tool|>", "<|tool_call>", "<tool_call|>", "<|tool_response>", "<tool_response|>", '<|"|>',
)  # fmt: skip
TEMPLATE = Path(__file__).with_name("chat_template.jinja")


def train_tokenizer(texts: Iterable[str], vocab_size: int = 1024) -> PreTrainedTokenizerFast:
    """Learn the merges from `texts`. Digits stay single tokens, and every byte is a token, so all text round-trips.

    Raises InputError for a vocabulary without room for merges.
    """
    floor = len(SPECIAL_TOKENS) + 256
    if vocab_size <= floor:
        raise InputError(f"tokenizer.vocab_size={vocab_size}: expected more than {floor} (special tokens and bytes)")
    core = Tokenizer(models.BPE(unk_token=None))
    core.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    core.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size, special_tokens=list(SPECIAL_TOKENS), show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )  # fmt: skip
    core.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=core, pad_token="<pad>", eos_token="<eos>", bos_token="<bos>", unk_token="<unk>",
        mask_token="<mask>", extra_special_tokens=list(SPECIAL_TOKENS[5:]),
        chat_template=TEMPLATE.read_text(encoding="utf-8"),
        model_max_length=2048, clean_up_tokenization_spaces=False, padding_side="left",
    )  # fmt: skip


def chat_pieces(chat: Chat) -> list[tuple[str, bool]]:
    """The chat as (text, spoken by the model) pieces; joined they equal what the chat template renders.

    Only the last turn keeps its thought channel, as in the template. The newline after a model's `<turn|>` is not the
    model's: generation stops at `<turn|>`.
    """
    pieces, messages = [("<bos>", False)], list(chat.messages)
    system = messages.pop(0)["content"] if messages[0]["role"] == "system" else ""
    if system or chat.thinking:
        pieces.append((f"<|turn>system\n{'<|think|>' if chat.thinking else ''}{system}<turn|>\n", False))
    for message in messages:
        if message["role"] == "user":
            pieces.append((f"<|turn>user\n{message['content'].strip()}<turn|>\n<|turn>model\n", False))
            continue
        thought = message.get("reasoning_content", "") if message is messages[-1] else ""
        thought = f"<|channel>thought\n{thought.strip()}\n<channel|>" if thought else ""
        pieces += [(f"{thought}{message['content'].strip()}<turn|>", True), ("\n", False)]
    return pieces

"""The entries of a drafter's config.json that no reader needs, listed once.

A reader refuses every entry that it neither reads nor finds here (`Keys.close`): it may change the network's output,
and no figure would show it.
"""

from __future__ import annotations

from typing import Any

#: Entries of every transformers config, and those that only training, tools or tokenizers read.
HARMLESS = {
    "_attn_implementation", "_attn_implementation_autoset", "_name_or_path", "architectures", "attention_dropout",
    "auf", "auto_map", "bos_token_id", "ce_loss_alpha", "chunk_size_feed_forward", "confidence_head_alpha", "dtype",
    "eos_token_id", "has_no_defaults_at_init", "hidden_dropout", "id2label", "initializer_range", "is_decoder",
    "is_encoder_decoder", "kd_temperature", "l1_loss_alpha", "label2id", "lambda_base_decay_ratio",
    "lambda_base_start", "loss_decay_gamma", "max_anchors", "model_type", "num_anchors", "output_attentions",
    "output_hidden_states", "pad_token_id", "pretraining_tp", "problem_type", "return_dict", "speculators_version",
    "tie_word_embeddings", "torch_dtype", "transformers_version", "unsloth_fixed", "unsloth_version", "use_cache",
    "use_return_dict",
}  # fmt: skip

#: Harmless with this value alone; any other changes the network.
HARMLESS_AS: dict[str, Any] = {
    "add_swa_attention_sink_bias": False,
    "attention_sink_bias": False,
    "is_neox_style": True,
    "mlp_bias": False,
    "norm_before_fc": False,
    "norm_before_residual": False,
    "partial_rotary_factor": 1.0,
    "sample_from_anchor": False,
    "shift_label": False,
    "use_aux_hidden_state": True,
}

#: Read by a Domino head alone; speculators writes them into plain DFlash configs, too.
DOMINO = ("emb_dim", "gru_hidden_dim", "pure_draft_prefix_len")
#: Read by layers of experts alone, likewise.
EXPERTS = (
    "moe_intermediate_size",
    "norm_topk_prob",
    "num_experts",
    "num_experts_per_tok",
    "shared_expert_intermediate_size",
)
#: Entries of Gemma's text config that full-attention layers without experts or per-layer embeddings never read.
GEMMA_FULL = (
    "expert_intermediate_size",
    "head_dim",
    "moe_intermediate_size",
    "num_experts",
    "num_global_key_value_heads",
    "num_key_value_heads",
    "sliding_window",
    "top_k_experts",
    "use_bidirectional_attention",
    "use_double_wide_mlp",
    "vocab_size_per_layer_input",
)


def is_harmless(name: str, value: Any) -> bool:
    """True for an entry that no network depends on. None counts as no entry."""
    return value is None or name in HARMLESS or (name in HARMLESS_AS and value == HARMLESS_AS[name])

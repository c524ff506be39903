"""Tensor names of a checkpoint as llama.cpp spells them."""

from __future__ import annotations

import re
from collections.abc import Mapping

LAYER = re.compile(r"^layers\.(\d+)\.(.+)$")
ATTENTION = {
    "input_layernorm.weight": "attn_norm.weight",
    "self_attn.q_proj.weight": "attn_q.weight",
    "self_attn.k_proj.weight": "attn_k.weight",
    "self_attn.v_proj.weight": "attn_v.weight",
    "self_attn.o_proj.weight": "attn_output.weight",
    "self_attn.q_norm.weight": "attn_q_norm.weight",
    "self_attn.k_norm.weight": "attn_k_norm.weight",
    "mlp.gate_proj.weight": "ffn_gate.weight",
    "mlp.up_proj.weight": "ffn_up.weight",
    "mlp.down_proj.weight": "ffn_down.weight",
}
#: Gemma's layers norm each sublayer's output, too.
GEMMA_LAYER = ATTENTION | {
    "post_attention_layernorm.weight": "post_attention_norm.weight",
    "pre_feedforward_layernorm.weight": "ffn_norm.weight",
    "post_feedforward_layernorm.weight": "post_ffw_norm.weight",
    "layer_scalar": "layer_output_scale.weight",
}
TARGET_LAYER = GEMMA_LAYER | {
    "per_layer_input_gate.weight": "inp_gate.weight",
    "per_layer_projection.weight": "proj.weight",
    "post_per_layer_input_norm.weight": "post_norm.weight",
    "router.proj.weight": "ffn_gate_inp.weight",
    "router.scale": "ffn_gate_inp.scale",
    "router.per_expert_scale": "ffn_down_exps.scale",
    "experts.gate_up_proj": "ffn_gate_up_exps.weight",
    "experts.down_proj": "ffn_down_exps.weight",
    "pre_feedforward_layernorm_2.weight": "pre_ffw_norm_2.weight",
    "post_feedforward_layernorm_1.weight": "post_ffw_norm_1.weight",
    "post_feedforward_layernorm_2.weight": "post_ffw_norm_2.weight",
}
BLOCK_LAYER = ATTENTION | {
    "post_attention_layernorm.weight": "ffn_norm.weight",
    "attention_conv.base_kernel": "attn_conv_base",
    "attention_conv.kernel_projection.weight": "attn_conv_proj.weight",
    "mlp_conv.base_kernel": "ffn_conv_base",
    "mlp_conv.kernel_projection.weight": "ffn_conv_proj.weight",
}
EMBEDDING, HEAD = "token_embd.weight", "output.weight"
OUTSIDE = {"embed_tokens.weight": EMBEDDING, "norm.weight": "output_norm.weight", "lm_head.weight": HEAD}
TARGET = OUTSIDE | {
    "embed_tokens_per_layer.weight": "per_layer_token_embd.weight",
    "per_layer_model_projection.weight": "per_layer_model_proj.weight",
    "per_layer_projection_norm.weight": "per_layer_proj_norm.weight",
}
ASSISTANT = OUTSIDE | {
    "pre_projection.weight": "nextn.pre_projection.weight",
    "post_projection.weight": "nextn.post_projection.weight",
}
BLOCK = OUTSIDE | {
    "fc.weight": "fc.weight",
    "hidden_norm.weight": "enc.output_norm.weight",
    "candidate_selector.predecessor_codebook": "selector_predecessor.weight",
    "candidate_selector.successor_codebook": "selector_successor.weight",
    "candidate_selector.hidden_projection.weight": "selector_hidden.weight",
    "markov_head.markov_w1.weight": "markov_w1.weight",
    "markov_head.markov_w2.weight": "markov_w2.weight",
    "confidence_head.proj.weight": "conf_proj.weight",
    "confidence_head.proj.bias": "conf_proj.bias",
}
#: Kept as they are in files of every type: routers, and kernels that are added and multiplied alone.
PLAIN = ("ffn_gate_inp.weight", "attn_conv_base", "ffn_conv_base")


def gguf_name(name: str, outside: Mapping[str, str], layer: Mapping[str, str]) -> str | None:
    """llama.cpp's name of the tensor `name`, None where it has none. A leading `model.` is passed over."""
    name = name.removeprefix("model.")
    if (match := LAYER.match(name)) is None:
        return outside.get(name)
    inner = layer.get(match[2])
    return None if inner is None else f"blk.{match[1]}.{inner}"

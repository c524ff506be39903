"""A block drafter's config under one spelling for every published layout.

Each layout's reader (drafters.layouts) translates its own keys into this; network and drafter read nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass

from drafters.errors import InputError


@dataclass(frozen=True)
class DFlashConfig:
    """A block drafter. `input_embedding_scale` None: the file names none. Raises InputError for contradictions."""

    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    num_key_value_heads: int
    head_dim: int
    vocab_size: int
    block_size: int
    mask_token_id: int
    target_layer_ids: tuple[int, ...]
    layer_types: tuple[str, ...]
    sliding_window: int | None = None
    rope_theta: float = 1_000_000.0
    rms_norm_eps: float = 1e-6
    attention_bias: bool = False
    max_position_embeddings: int = 262_144
    num_target_layers: int | None = None
    input_embedding_scale: float | None = None
    output_multiplier: float = 1.0
    final_logit_softcapping: float | None = None
    is_causal: bool | None = None  # None: causal within the block exactly on sliding layers
    keys_are_values: bool = False  # Gemma layers: one projection gives keys and values
    partial_rotary_factor: float = 1.0  # Gemma layers: the share of a head that turns
    layout: str = "z-lab DFlash"  # which reader made this
    predicts_next: bool = False  # slot i gives the token after its position, so that the anchor's slot drafts too
    anchored_window: bool = False  # a window reaches back from the anchor, not from each slot
    own_embedding: bool = False  # the checkpoint brings its embedding, else the target's rows are borrowed
    own_head: bool = False  # likewise the head
    draft_vocab_size: int | None = None  # the head's vocabulary where it is smaller than the target's
    conv_kernel_size: int = 0  # dynamic convolutions around attention and MLP; 0: none
    conv_group_size: int = 16
    selector_rank: int = 0  # a path selector over the best selector_top_k tokens of each slot; 0: none
    selector_top_k: int = 16
    markov_rank: int = 0  # a low-rank bias from the previous token; 0: none
    confidence_head: bool = False  # predicts whether a draft will be accepted
    confidence_with_markov: bool = False
    notes: tuple[str, ...] = ()  # where the file was read otherwise than it says

    def __post_init__(self) -> None:
        if len(self.layer_types) != self.num_hidden_layers:
            raise InputError(
                f"layer_types names {len(self.layer_types)} layers, expected num_hidden_layers={self.num_hidden_layers}"
            )
        kinds = sorted(set(self.layer_types) - {"sliding_attention", "full_attention"})
        if kinds:
            raise InputError(f"layer_types holds {kinds[0]!r}, expected sliding_attention or full_attention")
        self._check_block()
        self._check_taps()
        if self.num_attention_heads % self.num_key_value_heads:
            raise InputError(
                f"num_attention_heads={self.num_attention_heads} is no multiple of "
                f"num_key_value_heads={self.num_key_value_heads}"
            )
        if "sliding_attention" in self.layer_types and not self.sliding_window:
            raise InputError("layer_types has sliding_attention, but sliding_window is not set")
        if self.conv_kernel_size and self.hidden_size % self.conv_group_size:
            raise InputError(f"conv_group_size is {self.conv_group_size}, expected a divisor of {self.hidden_size}")
        if self.confidence_with_markov and not self.markov_rank:
            raise InputError("confidence_head_with_markov is true, but markov_rank is 0")

    def _check_block(self) -> None:
        least = 1 if self.predicts_next else 2
        slots = "the anchor" if self.predicts_next else "the anchor and one mask"
        size = self.block_size
        if isinstance(size, bool) or not isinstance(size, int) or size < least:
            raise InputError(f"block_size is {size!r}, expected a whole number of at least {least} ({slots})")
        if self.conv_kernel_size > size:
            raise InputError(f"conv_kernel_size is {self.conv_kernel_size}, expected at most block_size={size}")

    def _check_taps(self) -> None:
        taps = self.target_layer_ids
        if not taps:
            raise InputError("target_layer_ids is empty, expected at least one target layer")
        if list(taps) != sorted(set(taps)):
            raise InputError(f"target_layer_ids is {list(taps)}, expected distinct layers in rising order")

    @property
    def max_draft_tokens(self) -> int:
        """The most tokens that one pass drafts."""
        return self.block_size if self.predicts_next else self.block_size - 1

    @property
    def head_size(self) -> int:
        """Tokens of the head's vocabulary."""
        return self.vocab_size if self.draft_vocab_size is None else self.draft_vocab_size

    def causal(self, layer: int) -> bool:
        """True if a block slot of this layer sees only the slots before it."""
        return self.layer_types[layer] == "sliding_attention" if self.is_causal is None else self.is_causal

    def window(self, layer: int) -> int | None:
        return self.sliding_window if self.layer_types[layer] == "sliding_attention" else None

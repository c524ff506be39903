"""The wirings of a block drafter."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import torch

from drafters.base import Drafter, TargetPass
from drafters.confidence import ConfidenceWatch
from drafters.dflash.config import DFlashConfig
from drafters.dflash.drafter import DFlashDrafter
from drafters.dflash.model import BlockModel, DFlashModel
from drafters.layouts.deepspec import GemmaBlockModel
from drafters.wirings.base import Wiring, twin

UNBOUNDED = 2**30  # a window that every text fits into
BASES = (10_000.0, 1_000_000.0)
SHARES = (0.25, 1.0)
CAP = 30.0  # Gemma's

#: The entry of config.json that decides each property, by the first word of the layout's name.
KEYS: dict[str, dict[str, str]] = {
    "z-lab": {
        "taps": "dflash_config.target_layer_ids",
        "scale": "dflash_config.input_embedding_scale",
        "window": "layer_types, sliding_window",
        "cap": "final_logit_softcapping",
        "in_block": "is_causal",
        "slot": "",
        "base": "rope_theta",
        "share": "",
    },
    "speculators": {
        "taps": "aux_hidden_state_layer_ids",
        "scale": "input_embedding_scale",
        "window": "layer_types, sliding_window",
        "cap": "final_logit_softcapping",
        "in_block": "is_causal",
        "slot": "sample_from_anchor",
        "base": "transformer_layer_config.rope_parameters.rope_theta",
        "share": "",
    },
    "DeepSpec": {
        "taps": "target_layer_ids",
        "scale": "",
        "window": "",
        "cap": "final_logit_softcapping",
        "in_block": "",
        "slot": "",
        "base": "rope_parameters.full_attention.rope_theta",
        "share": "rope_parameters.full_attention.partial_rotary_factor",
    },
}


class BlockWirings:
    """The wirings of `drafter` over a target with `layers` layers, a `window`, and a final soft cap."""

    def __init__(self, drafter: DFlashDrafter, target: dict[str, Any]) -> None:
        self.drafter, self.config, self.model = drafter, drafter.config, drafter.model
        self.layers, self.window = int(target["num_hidden_layers"]), target.get("sliding_window")
        self.keys = KEYS[self.config.layout.split()[0]]

    def all(self) -> Iterator[Wiring]:
        """The wiring as read, then every other."""
        yield self.wiring("as read", "")
        yield from self.taps()
        yield from self.positions()
        yield from self.windows()
        yield from self.scales()
        yield from self.caps()
        yield from self.in_block()
        yield from self.slots()
        yield from self.rope()

    def wiring(self, name: str, what: str, config: DFlashConfig | None = None, **changes: Any) -> Wiring:
        """The drafter with `config`; `changes` are `model`, `is_causal`, `scale`, `first_slot`, and what Wiring has."""
        about = {key: changes.pop(key) for key in ("see",) if key in changes}
        config = config or self.config

        def build(watch: ConfidenceWatch) -> Drafter:
            model: BlockModel = changes.get("model", self.model)
            watch.reads_confidence = model.confidence_head is not None
            made = DFlashDrafter(
                twin(model, config=config), input_embedding_scale=changes.get("scale", self.drafter.scale), limit=watch
            )
            made.is_causal = changes.get("is_causal", self.drafter.is_causal)
            made.first_slot = changes.get("first_slot", 0 if config.predicts_next else 1)
            return made

        return Wiring(name, self.keys.get(what, ""), build, config.target_layer_ids, **about)

    def absent(self, name: str, what: str, reason: str) -> Wiring:
        return Wiring(name, self.keys.get(what, ""), reason=reason)

    def taps(self) -> Iterator[Wiring]:
        ids = self.config.target_layer_ids
        for name, step in (("taps one layer earlier", -1), ("taps one layer later", 1)):
            moved = tuple(tap + step for tap in ids)
            if moved[0] < 0 or moved[-1] >= self.layers:
                edge = "first" if step < 0 else "last"
                yield self.absent(name, "taps", f"it taps the target's {edge} layer already")
            else:
                yield self.wiring(name, "taps", replace(self.config, target_layer_ids=moved))
        name = "last tap after the final norm"
        if ids[-1] == self.layers - 1:
            yield self.wiring(name, "taps", see=last_tap_normed)
        else:
            yield self.absent(name, "taps", "the target's last layer is not tapped, which alone has that norm")

    def positions(self) -> Iterator[Wiring]:
        for name, step in (("block one position early", -1), ("block one position late", 1)):
            yield self.wiring(name, "", model=moved_block(self.model, step))

    def windows(self) -> Iterator[Wiring]:
        config = self.config
        own = config.sliding_window if "sliding_attention" in config.layer_types else None
        if own is None:
            for name in ("window off", "window halved"):
                yield self.absent(name, "window", "no layer has a window")
        else:
            yield self.wiring("window off", "window", replace(config, sliding_window=UNBOUNDED))
            if own > 1:
                yield self.wiring("window halved", "window", replace(config, sliding_window=own // 2))
        name = "the target's window on every layer"
        if not isinstance(self.model, DFlashModel):
            yield self.absent(name, "window", f"{config.layout} has no windows")
        elif self.window is None or (own == self.window and "full_attention" not in config.layer_types):
            yield self.absent(name, "window", "that is the wiring as read")
        else:
            kinds = ("sliding_attention",) * config.num_hidden_layers
            causal = self.causality()
            everywhere = replace(config, layer_types=kinds, sliding_window=self.window)
            if len(causal) == 1:
                yield self.wiring(name, "window", everywhere, is_causal=next(iter(causal)))
            else:
                yield self.absent(name, "window", "its layers differ in which slots see each other")

    def scales(self) -> Iterator[Wiring]:
        usual = {1.0: "embedding not scaled", self.config.hidden_size**0.5: "embedding times sqrt(hidden_size)"}
        for factor, name in usual.items():
            if isinstance(self.model, GemmaBlockModel):
                yield self.absent(name, "scale", "its own embedding brings its factor")
            elif abs(factor - self.drafter.scale) > 1e-3:
                yield self.wiring(name, "scale", scale=factor)

    def caps(self) -> Iterator[Wiring]:
        own = self.config.final_logit_softcapping
        name = "soft cap off" if own else f"soft cap of {CAP:g}"
        yield self.wiring(name, "cap", replace(self.config, final_logit_softcapping=None if own else CAP))

    def causality(self) -> set[bool]:
        """Whether slots see earlier slots alone, over the layers."""
        return {self.drafter._causal(layer) for layer in range(self.config.num_hidden_layers)}

    def in_block(self) -> Iterator[Wiring]:
        own = self.causality()
        for name, causal in (("block causal", True), ("block bidirectional", False)):
            if own != {causal}:
                yield self.wiring(name, "in_block", is_causal=causal)
        kinds = set(self.config.layer_types)
        if len(kinds) == 2 and self.drafter.is_causal is not None:
            yield self.wiring("block causal on sliding layers alone", "in_block", is_causal=None)

    def slots(self) -> Iterator[Wiring]:
        config = self.config
        if config.predicts_next:
            yield self.wiring("sample_from_anchor false: slots read one place late", "slot",
                              replace(config, predicts_next=False))  # fmt: skip
            yield self.absent("slots read one place early", "slot", "no slot stands before the anchor's")
        else:
            yield self.wiring("sample_from_anchor true: slots read one place early", "slot",
                              replace(config, predicts_next=True))  # fmt: skip
            yield self.wiring("slots read one place late", "slot", first_slot=2)

    def rope(self) -> Iterator[Wiring]:
        for theta in BASES:
            if theta != self.config.rope_theta:
                changed = replace(self.config, rope_theta=theta)
                yield self.wiring(f"rope base {theta:g}", "base", changed, model=turned(self.model, changed))
        for share in SHARES:
            name = f"{share:.0%} of each head turned"
            if not isinstance(self.model, GemmaBlockModel):
                if share != 1.0:
                    yield self.absent(name, "share", "Qwen3's layers turn the whole head")
            elif share != self.config.partial_rotary_factor:
                changed = replace(self.config, partial_rotary_factor=share)
                yield self.wiring(name, "share", changed, model=turned(self.model, changed))


def turned(model: BlockModel, config: DFlashConfig) -> BlockModel:
    """The network with the rotary embedding of `config`; Qwen3's layers read it from the config itself."""
    if not isinstance(model, GemmaBlockModel):
        return model
    from transformers.models.gemma4.modeling_gemma4 import Gemma4TextRotaryEmbedding

    from drafters.layouts.deepspec import text_config

    return twin(model, rotary_emb=Gemma4TextRotaryEmbedding(text_config(config)).to(model.fc.weight.device))


def moved_block(model: BlockModel, step: int) -> BlockModel:
    """The network with a block that stands `step` positions further on than its context says, in rotation alone."""

    def denoise(x: Any, positions: Any, joins: Any, masks: Any) -> Any:
        return model.denoise(x, positions + step, joins, masks)

    return twin(model, denoise=denoise)


def last_tap_normed(seen: TargetPass) -> TargetPass:
    """The last tap's [B, S, H] after the target's final norm."""
    assert seen.taps is not None
    width = seen.hidden.shape[-1]
    return replace(seen, taps=torch.cat((seen.taps[..., :-width], seen.hidden), dim=-1))

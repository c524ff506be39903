"""The wirings of a chained drafter."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import torch

from drafters.base import Drafter, TargetPass, TargetView
from drafters.confidence import ConfidenceWatch
from drafters.mtp import MTPDrafter
from drafters.wirings.base import Rescaled, Wiring, twin
from drafters.wirings.block import BASES, CAP, SHARES, UNBOUNDED

ROPE = "text_config.rope_parameters"
WINDOW, CAPPING = "text_config.sliding_window", "text_config.final_logit_softcapping"
POSITION = "drafters.mtp.position"
POSITIONS = {1: "anchor-1", 0: "anchor", -1: "anchor+1"}  # by positions back


class ChainedWirings:
    """The wirings of `drafter` over a target whose text config is `target`."""

    def __init__(self, drafter: MTPDrafter, target: dict[str, Any]) -> None:
        self.drafter, self.layers, self.window = drafter, int(target["num_hidden_layers"]), target.get("sliding_window")
        self.scale = float(target["hidden_size"]) ** 0.5

    def all(self) -> Iterator[Wiring]:
        """The wiring as read, then every other."""
        yield self.wiring("as read", "")
        yield self.wiring("state before the final norm", "", taps=(self.layers - 1,), see=last_layer_as_state)
        yield self.wiring("state of one token earlier", "", see=earlier_state)
        for back, position in POSITIONS.items():
            if back != self.drafter.position_back:
                yield self.wiring(f"position {position}", POSITION, back=back)
        yield from self.windows()
        yield self.wiring("embedding not scaled", "", view=raw_embedding)
        own = self.drafter.softcap
        yield self.wiring(f"soft cap {'off' if own else f'of {CAP:g}'}", CAPPING, cap=None if own else CAP)
        yield from self.rope()
        for name, reason in (
            ("taps one layer earlier or later", "it taps no layers"),
            ("block causal or bidirectional", "it drafts one token a pass, not a block"),
            ("slots read one place early or late", "it drafts one token a pass, not a block"),
        ):
            yield Wiring(name, "", reason=reason)

    def wiring(self, name: str, key: str, **changes: Any) -> Wiring:
        """The drafter with other `back` (positions), `cap` or `model`; further `changes` are what Wiring has."""
        about = {what: changes.pop(what) for what in ("taps", "see", "view") if what in changes}
        own = self.drafter

        def build(watch: ConfidenceWatch) -> Drafter:
            made = MTPDrafter(changes.get("model", own.model), limit=watch)
            made.position_back = changes.get("back", own.position_back)
            made.softcap = changes.get("cap", own.softcap)
            return made

        return Wiring(name, key, build, **about)

    def windows(self) -> Iterator[Wiring]:
        kinds = self.drafter.config.layer_types or []
        if "sliding_attention" not in kinds or not self.window:
            yield Wiring("window off", WINDOW, reason="no layer has a window")
            return
        yield self.wiring("window off", WINDOW, view=with_window(UNBOUNDED))
        yield self.wiring("window halved", WINDOW, view=with_window(max(1, self.window // 2)))

    def rope(self) -> Iterator[Wiring]:
        text = self.drafter.text_model.config
        for kind in dict.fromkeys(text.layer_types):
            own = dict(text.rope_parameters[kind])
            layers = kind.removesuffix("_attention")
            for theta in BASES:
                if theta != own.get("rope_theta"):
                    yield self.turned(f"rope base {theta:g} on {layers} layers", kind, "rope_theta", theta)
            if "partial_rotary_factor" in own:
                for share in SHARES:
                    if share != own["partial_rotary_factor"]:
                        name = f"{share:.0%} of each head turned on {layers} layers"
                        yield self.turned(name, kind, "partial_rotary_factor", share)

    def turned(self, name: str, kind: str, entry: str, value: float) -> Wiring:
        """The drafter with another entry of its rotary embedding."""
        model = self.drafter.model
        text, rotary = self.drafter.text_model.config, self.drafter.text_model.rotary_emb
        rope = {**text.rope_parameters, kind: {**text.rope_parameters[kind], entry: value}}
        config = type(text).from_dict({**text.to_dict(), "rope_parameters": rope})
        other = type(rotary)(config).to(next(model.parameters()).device)
        changed = twin(model, model=twin(self.drafter.text_model, rotary_emb=other))
        return self.wiring(name, f"{ROPE}.{kind}.{entry}", model=changed)


def last_layer_as_state(seen: TargetPass) -> TargetPass:
    """The target's state before its final norm, which the only tap holds."""
    assert seen.taps is not None
    return replace(seen, hidden=seen.taps, taps=None)


def earlier_state(seen: TargetPass) -> TargetPass:
    """Every token's state [B, S, H] is that of the token before it; the first keeps its own."""
    return replace(seen, hidden=torch.cat((seen.hidden[:, :1], seen.hidden[:, :-1]), dim=1))


def raw_embedding(view: TargetView) -> TargetView:
    """The target's embedding without Gemma's factor."""
    embed: Any = Rescaled(view.embed, 1.0)
    return replace(view, embed=embed)


def with_window(window: int) -> Callable[[TargetView], TargetView]:
    """The target's cache, read through another window."""

    def changed(view: TargetView) -> TargetView:
        config = copy.copy(view.config)
        config.sliding_window = window
        return replace(view, config=config)

    return changed

"""The chained drafter: Gemma 4's MTP assistant, one small transformer pass per draft token.

The assistant has no keys and values of its own. All its draft steps stand at one constant position and read the
target's last full and last sliding layer, exactly the rows of verified tokens: 0 to p-1 for an anchor at position p
(the anchor itself has no row yet). Each step's input is the last token's target embedding beside a hidden state: first
the target's normed state that predicted the anchor, then the assistant's own normed state, post-projected
(transformers' modeling_gemma4_assistant is the reference).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from drafters.adaptive import DraftLimit, check_head
from drafters.base import KeyValueView, Proposal, Sampling, TargetPass, TargetView
from drafters.errors import InputError
from drafters.gemma4 import position_addressed_attention, run_layers
from drafters.kernels.pieces import run_piece
from drafters.positions import additive, positions_of_slots, visible
from drafters.sampling import chosen_by_numbers, draw, soft_cap, token_probs


class MTPDrafter:
    """Chains k tokens with a `Gemma4AssistantForCausalLM` (or its unified sibling).

    `position` is "anchor" (transformers' convention) or "anchor-1" (vLLM's). `strict_window` counts a sliding layer's
    rows from that position (llama.cpp's convention): a pass at position p reads p - window + 1 and later, where
    transformers' reads two rows more at the anchor's position. `ordered_head` false scores the whole
    vocabulary where the checkpoint's head scores the best centroids' tokens alone (llama.cpp's convention); None does
    as the checkpoint says. `sample` draws drafts from the assistant's distribution when decoding samples; otherwise
    drafts are its argmax, declared as deterministic. `limit` decides how many of the k are proposed; None proposes
    all. Raises InputError for an unknown position, and for an ordered head that the checkpoint lacks.
    """

    name = "mtp"
    taps: tuple[int, ...] = ()
    max_draft_tokens: int | None = None

    def __init__(
        self,
        model: Any,
        *,
        position: str = "anchor",
        strict_window: bool = False,
        ordered_head: bool | None = None,
        sample: bool = True,
        limit: DraftLimit | None = None,
    ) -> None:
        if position not in ("anchor", "anchor-1"):
            raise InputError(f"drafters.mtp.position is {position!r}, expected 'anchor' or 'anchor-1'")
        if not isinstance(strict_window, bool):
            raise InputError(f"drafters.mtp.strict_window is {strict_window!r}, expected true or false")
        if ordered_head is not None and not isinstance(ordered_head, bool):
            raise InputError(f"drafters.mtp.ordered_head is {ordered_head!r}, expected true, false or null")
        has_one = bool(model.config.use_ordered_embeddings)
        if ordered_head and not has_one:
            raise InputError("drafters.mtp.ordered_head is True, but this checkpoint has none; expected false or null")
        self.ordered_head = has_one if ordered_head is None else ordered_head
        self.model = model.eval()
        self.text_model = model.model
        self.config = model.config.get_text_config()
        self.softcap: float | None = self.config.final_logit_softcapping
        self.position_back = 1 if position == "anchor-1" else 0
        self.strict_window = strict_window
        self.sample = sample
        self.reach = 0
        self.serving: object = None
        self.limit = limit or DraftLimit()
        check_head(self.limit, self.name, has_head=False)

    @property
    def conventions(self) -> dict[str, Any]:
        """Its options as they are in force, for a comparison with other engines."""
        return {
            "position": "anchor-1" if self.position_back else "anchor",
            "strict_window": self.strict_window,
            "ordered_head": self.ordered_head,
        }

    def begin(
        self, target: TargetView, batch_size: int, capacity: int, k: int, sampling: Sampling, noise: Tensor
    ) -> None:
        self.target, self.k, self.sampling, self.noise = target, k, sampling, noise
        hidden = target.embed.embedding_dim
        self.hidden = torch.zeros(batch_size, hidden, dtype=target.dtype, device=target.device)  # [B, backbone]
        self.newest = torch.zeros(batch_size, dtype=torch.long, device=target.device)  # last row written at all
        self.limit.begin(batch_size, k, sampling, target.device, drawn=self.sample and sampling.temperature > 0)

    def start(self, prefill: TargetPass, row: int) -> None:
        self.limit.start(row)
        self.hidden[row] = prefill.hidden[0, -1]
        self.newest[row] = prefill.positions[0, -1]

    def observe(self, verified: TargetPass, accepted: Tensor) -> None:
        self.limit.observe(accepted)
        index = accepted[:, None, None].expand(-1, 1, verified.hidden.shape[-1])
        self.hidden.copy_(verified.hidden.gather(1, index).squeeze(1))  # the state that predicted the new anchor
        self.newest.copy_(verified.positions[:, -1])

    def _slots(self, kv: KeyValueView) -> int:
        return kv.keys.shape[2] if kv.ring else self.reach

    def _masks(self, position: Tensor) -> dict[str, Tensor]:
        """Masks over target rows for the constant query: it sees verified rows, in sliding layers those of the window.

        A query at the anchor's position sees one row more, as transformers' mask has it, than vLLM's one before it. A
        strict window ends `window` positions before the query itself.
        """
        masks = {}
        more = self.position_back - 1 if self.strict_window else 1 - self.position_back
        last_verified = (position - 1)[:, None]  # [B, 1]
        for kind, kv in self.target.kv.items():
            stored = positions_of_slots(self.newest, self._slots(kv), kv.ring)
            window = self.target.config.sliding_window + more if kv.ring else None
            masks[kind] = additive(visible(last_verified, stored, window=window), self.target.dtype)
        return masks

    def _logits(self, normed: Tensor) -> Tensor:
        if self.ordered_head:
            logits = ordered_logits(self.model.masked_embedding, normed, self.model.lm_head.weight)
        else:
            logits = self.model.lm_head(normed)
        return soft_cap(logits, self.softcap)

    def _step(
        self,
        token: Tensor,
        hidden: Tensor,
        positions: Tensor,
        masks: dict[str, Tensor],
        shared: dict[str, tuple[Tensor, Tensor]],
        uniform: Tensor | None,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The token [B] after `token` [B], drawn at `uniform` [B] if given; what it was chosen by, [B, V] logits or q;
        whether that is finite [B]; and the hidden state [B, 1, backbone] for the step after."""
        inputs = torch.cat((self.target.embed(token[:, None]), hidden), dim=-1)  # [B, 1, 2*backbone]
        normed, _ = run_layers(
            self.text_model, self.model.pre_projection(inputs), positions, masks, shared_kv=shared
        )
        hidden = self.model.post_projection(normed)
        logits = self._logits(normed)[:, 0]  # [B, V]
        if uniform is None:
            chosen, scores = logits.argmax(dim=-1), logits
        else:
            scores = token_probs(logits, self.sampling)
            chosen = draw(scores, uniform)
        return chosen, scores, chosen_by_numbers(scores, chosen), hidden

    def propose(self, anchor: Tensor, position: Tensor) -> Proposal:
        self.limit.open()
        masks, fetch = run_piece(self._masks, position), self.target.fetch
        shared = {
            kind: (fetch(kv.keys[:, :, : self._slots(kv)]), fetch(kv.values[:, :, : self._slots(kv)]))
            for kind, kv in self.target.kv.items()
        }
        positions = (position - self.position_back)[:, None]  # [B, 1], the same for every step
        token, hidden = anchor.clone(), self.hidden[:, None].clone()  # as a step returns them: compiled once for all
        tokens, probs, finite = [], [], []
        sampled = self.sample and self.sampling.temperature > 0
        with position_addressed_attention(self.config):
            for step in range(1, self.k + 1):
                uniform = self.noise.gather(1, (position + step)[:, None]).squeeze(1) if sampled else None
                step_inputs = (token, hidden, positions, masks, shared, uniform)
                token, chosen_by, is_finite, hidden = run_piece(self._step, *step_inputs)
                tokens.append(token)
                finite.append(is_finite)
                if sampled:
                    probs.append(chosen_by)
                self.limit.saw(step - 1, chosen_by)
                if self.limit.enough(step - 1):
                    break
        missing = self.k - len(tokens)  # no row proposes these; the shape stays
        tokens += tokens[-1:] * missing
        probs += probs[-1:] * missing
        finite += finite[-1:] * missing
        stacked_probs = torch.stack(probs, dim=1) if sampled else None
        return self.limit.close(Proposal(torch.stack(tokens, dim=1), stacked_probs, finite=torch.stack(finite, dim=1)))


def ordered_logits(masked_embedding: Any, normed: Tensor, weight: Tensor) -> Tensor:
    """Logits [B, L, V] of the ordered-centroid head: only tokens of the best centroids are scored.

    The others get the lowest score of the dtype, so a sampled draft never falls outside the scored ones; transformers'
    filler, one below the smallest scored logit, would need a host synchronisation and give them mass.
    """
    best = masked_embedding.centroids(normed).topk(masked_embedding.centroid_intermediate_top_k, dim=-1).indices
    ordering = masked_embedding.token_ordering.long().view(masked_embedding.num_centroids, -1)
    scored = ordering[best].flatten(-2)  # [B, L, top_k * tokens per centroid]
    logits = (weight[scored] @ normed.unsqueeze(-1)).squeeze(-1)
    filler = logits.new_full((*normed.shape[:-1], weight.shape[0]), torch.finfo(logits.dtype).min)
    return filler.scatter_(-1, scored, logits)

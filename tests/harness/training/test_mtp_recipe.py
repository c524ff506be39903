"""The MTP recipe trains the assistant in exactly the situation that it drafts in."""

from __future__ import annotations

import pytest
import torch

from harness.training.data import Sequence, collate
from harness.training.fused import fused
from harness.training.mtp import MTPShape, build_assistant, mtp_loss, unroll
from tests.helpers.tiny_teacher import teacher


@pytest.mark.parametrize("anchor", [2, 5, 9, 20])
def test_every_unrolled_step_equals_the_assistant_called_alone_on_verified_rows(anchor: int) -> None:
    target = teacher()
    model = build_assistant(target, MTPShape(hidden_size=16, intermediate_size=24), 0).eval()
    tokens = torch.randint(5, 320, (1, 24))
    batch = collate([Sequence(tokens[0].tolist(), [True] * 24)])
    with torch.no_grad(), fused(target.config, model.config.text_config):
        seen = target.observe(batch)
        steps = [x[:, anchor] for x in unroll(model, target, seen, 3)]
        shared = {kind: (k[:, :, :anchor], v[:, :, :anchor]) for kind, (k, v) in seen.kv.items()}
    state = seen.hidden[:, anchor - 1 : anchor]
    for step in range(3):
        token = seen.embeddings[:, anchor + step : anchor + step + 1]
        out = model(
            inputs_embeds=torch.cat((token, state), dim=-1), position_ids=torch.tensor([[anchor]]),
            shared_kv_states=shared,
        )  # fmt: skip
        state = out.last_hidden_state
        torch.testing.assert_close(model.lm_head(steps[step]), out.logits[:, 0], rtol=1e-4, atol=1e-4)


def test_no_token_after_the_answer_and_no_prompt_token_is_learned() -> None:
    target = teacher()
    model = build_assistant(target, MTPShape(hidden_size=16, intermediate_size=24, steps=2), 0)
    ids = torch.randint(5, 320, (20,)).tolist()
    loss_of = mtp_loss(model, target, MTPShape(steps=2), 0.5)
    with fused(target.config, model.config.text_config):
        only = loss_of(collate([Sequence(ids, [False] * 12 + [True] * 8)]))[0]
        # No query that enters the loss sees tokens after the answer, so they change nothing.
        longer = loss_of(collate([Sequence(ids + ids[:4], [False] * 12 + [True] * 8 + [False] * 4)]))[0]
    torch.testing.assert_close(only, longer)

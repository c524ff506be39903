"""A run directory made without a model: known counts and times, for tests of what reads run directories."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from harness.metrics.summary import summarise
from harness.records.journal import GenerationRow, Journal
from harness.records.rounds import Round

K = 3
TOKENS = 13
#: Doubts that the machine raises on which the tests run, and not the run.
OF_THE_MACHINE = {"busy_machine", "unsteady_pace", "throttled_clocks", "unread_clocks", "tainted"}
VERIFY_S = 0.010
DRAFT_S = 0.002


def rounds_of(accepted: list[int], k: int) -> list[Round]:
    """Rounds that accept as given; each pass takes VERIFY_S, each drafting DRAFT_S."""
    rounds, position = [], 20
    for index, count in enumerate(accepted):
        rounds.append(Round(index, position, k, count, count + 1, DRAFT_S if k else 0.0, VERIFY_S, 0.0))
        position += count + 1
    return rounds


def record(
    run_dir: Path, *, prompts: int = 6, verdict: str = "exact", arms: tuple[str, ...] = ("mtp", "dflash"), k: int = K
) -> Path:
    """A baseline of 12 rounds per prompt, and arms that need 4 rounds (accepting 2 of `k` each), or 6 for k=1."""
    names = {"baseline": 0, **dict.fromkeys(arms, k)}
    kept = min(k, 2)
    with Journal(run_dir, {"config": {"drafters": {arm: {"kind": arm} for arm in arms}}}) as journal:
        for index in range(prompts):
            for arm, drafted in names.items():
                rounds = rounds_of([kept] * (12 // (kept + 1)) if drafted else [0] * 12, drafted)
                tokens = list(range(TOKENS))
                row = GenerationRow(f"p{index}", arm, "odd" if index % 2 else "even", dataset="made", token_ids=tokens)
                row.num_draft_tokens, row.prompt_tokens = drafted, 20
                row.text, row.finish_reason = "<b>text</b>", "length"
                # A little different for each prompt, so that intervals have a width.
                row.prefill_s = 0.05
                row.decode_s = sum(r.draft_s + r.verify_s for r in rounds) * (1 + 0.01 * (index % 3))
                row.verdict = None if arm == "baseline" else verdict
                journal.append(row, rounds)
        manifest: dict[str, Any] = {
            "run_key": journal.run_key,
            "created": "2026-01-02T03:04:05+00:00",
            "arms": [{"name": arm, "kind": arm, "num_draft_tokens": own} for arm, own in names.items()],
            "config": {"seed": 0, "max_new_tokens": TOKENS, "hub": {"api_key": "s3cr3t"}},
            "attempts": [{"started": "2026-01-02T03:04:05+00:00"}],
        }
    (run_dir / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    summarise(run_dir)
    return run_dir

"""The doubt about prompts with special tokens in their own text (`harness.tasks.marks` finds them)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from harness.metrics.guards import Guard

SHOWN = 3  # prompts that the message names


def mark_guards(marked: Mapping[str, Sequence[str]], templated: bool) -> list[Guard]:
    """At most one guard for `marked` {prompt id: its special tokens}.

    A warning with a chat template, where the target reads them as turns; `info` in raw text, which may mean them.
    """
    if not marked:
        return []
    shown = [f"{prompt_id} ({', '.join(marks)})" for prompt_id, marks in list(marked.items())[:SHOWN]]
    more = f" and {len(marked) - SHOWN} more" if len(marked) > SHOWN else ""
    what = "the target reads them as marks of the chat, not as text" if templated else "raw text may mean them"
    message = f"special tokens stand in the text of {len(marked)} prompts: {', '.join(shown)}{more}; {what}"
    return [Guard("special_tokens_in_text", "warning" if templated else "info", message)]

"""Scores a dataset's answers by the rule that `dataset.scorer` names."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from drafters.errors import InputError
from harness.config import ScoringConfig
from harness.config.scoring import CORPUS, PROGRAMS, SCORERS
from harness.tasks.prompts import Prompt
from harness.tasks.scoring import corpus, mathematics, sandbox
from harness.tasks.scoring.numbers import number_is_right
from harness.tasks.scoring.programs import humaneval_program, mbpp_program

COMPARE: dict[str, Callable[[Any, str], float]] = {
    "number": number_is_right,
    "math": mathematics.expression_is_right,
}
BUILD: dict[str, Callable[[Any, str], str]] = {"humaneval": humaneval_program, "mbpp": mbpp_program}


class Scorer:
    """Scores the answers of one run. Equal answers to a prompt are scored once, so a program runs once for all arms.

    Raises InputError for an unknown rule.
    """

    def __init__(self, name: str | None, config: ScoringConfig) -> None:
        if name is not None and name not in SCORERS:
            raise InputError(f"dataset.scorer={name}: expected one of {', '.join(SCORERS)}, or null")
        self.name, self.config = name, config
        self.known: dict[tuple[str, str], float | None] = {}
        if self.executes:
            sandbox.check_available()

    @property
    def executes(self) -> bool:
        """Whether answers are run as programs."""
        return self.name in PROGRAMS and self.config.execute_code

    def check(self, prompts: Sequence[Prompt]) -> str | None:
        """A warning if prompts have no key, else None. Raises InputError for the first prompt with an unusable key."""
        for prompt in prompts:
            if prompt.answer is not None and (self.name in COMPARE or self.executes):
                self._result(prompt, "")
        without = [prompt.prompt_id for prompt in prompts if prompt.answer is None]
        if self.name is None or not without:
            return None
        return (
            f"{len(without)} of {len(prompts)} prompts have no answer key, so they get no score "
            f"(dataset.scorer={self.name}; the first is {without[0]})"
        )

    def __call__(self, prompt: Prompt, text: str) -> float | None:
        """0 to 1; None if the prompt has no key, or if scoring takes a program and none may be run.

        `text` is the answer without its thinking.
        """
        if self.name is None or prompt.answer is None or (self.name in PROGRAMS and not self.executes):
            return None
        key = (prompt.prompt_id, text)
        if key not in self.known:
            self.known[key] = self._score(prompt, text)
        return self.known[key]

    def _score(self, prompt: Prompt, text: str) -> float | None:
        if self.name == CORPUS:
            return corpus.score(prompt.category, str(prompt.answer), text)
        result = self._result(prompt, text)
        return float(sandbox.run_program(result, self.config).passed) if isinstance(result, str) else result

    def _result(self, prompt: Prompt, text: str) -> float | str:
        """The score, or the program whose run decides. Raises InputError for an unusable key."""
        assert self.name is not None
        try:
            return (
                COMPARE[self.name](prompt.answer, text)
                if self.name in COMPARE
                else BUILD[self.name](prompt.answer, text)
            )
        except KeyError as error:
            raise InputError(
                f"prompt {prompt.prompt_id}: its row has no {error.args[0]}, which dataset.scorer={self.name} needs"
            ) from error
        except ValueError as error:
            raise InputError(f"prompt {prompt.prompt_id}: {error} (dataset.scorer={self.name})") from error

    def describe(self) -> dict[str, Any]:
        """The rule and its settings, for the manifest."""
        described: dict[str, Any] = {"scorer": self.name}
        if self.name == "math":
            described["compares_by"] = mathematics.compares_by()
        if self.name in PROGRAMS:
            described |= {"execute_code": self.config.execute_code, "timeout_s": self.config.timeout_s}
        return described

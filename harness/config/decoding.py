"""`decoding`: how tokens are chosen and drafts accepted. `verification`: acceptance that is assumed, for planning."""

from __future__ import annotations

from dataclasses import dataclass

from drafters.errors import InputError
from harness.config.checks import LEAST_TEMPERATURE, at_least, count, is_temperature, one_of
from harness.config.synthetic import check_rates
from harness.vocabulary import VERIFICATIONS


@dataclass
class DecodingConfig:
    """The rule by which the target's tokens are chosen. Temperature 0 is greedy."""

    temperature: float = 0.0
    top_k: int | None = None
    top_p: float | None = None
    verification: str = "rejection"

    def __post_init__(self) -> None:
        at_least(self.temperature, 0.0, "decoding.temperature")
        if not is_temperature(self.temperature):
            raise InputError(f"decoding.temperature={self.temperature}: expected 0, or {LEAST_TEMPERATURE} or more")
        count(self.top_k, "decoding.top_k")
        if self.top_p is not None and not 0.0 < self.top_p <= 1.0:
            raise InputError(f"decoding.top_p={self.top_p}: expected a number in (0, 1]")
        one_of(self.verification, VERIFICATIONS, "decoding.verification")

    @property
    def greedy(self) -> bool:
        return self.temperature == 0.0


@dataclass
class VerificationConfig:
    """Assumed acceptance rates, for planning runs only: unconditional, never rising, one per position.

    None: drafts are compared, as in every run that measures.
    """

    synthetic_acceptance: list[float] | None = None

    def __post_init__(self) -> None:
        check_rates(self.synthetic_acceptance)

"""MTP or DFlash, on your model, on your prompts: one loop, one verifier, one cache, one clock."""

from harness.decoding.api import generate
from harness.records.rounds import Generation, Round
from harness.target.load import load_drafter, load_target

__all__ = ["Generation", "Round", "generate", "load_drafter", "load_target"]

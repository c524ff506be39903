"""MTP or DFlash, on your model, on your prompts: one loop, one verifier, one cache, one clock."""

from harness.api import generate
from harness.load import load_drafter, load_target
from harness.records import Generation, Round

__all__ = ["Generation", "Round", "generate", "load_drafter", "load_target"]

"""The block-diffusion drafter: its config, network, and how tokens are chosen from a denoised block."""

from drafters.dflash.drafter import DFlashDrafter

__all__ = ["DFlashDrafter"]

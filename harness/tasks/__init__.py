"""Datasets become prompts, prompts token ids, and answers scores."""

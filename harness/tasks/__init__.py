"""Published datasets as prompts: where their rows are, and how a row becomes what the target is asked."""

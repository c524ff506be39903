"""The `drafthouse` command: its subcommands, its help, its lists, and what it says to a typo."""

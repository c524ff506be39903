"""The contract of a drafter as a list of checks, which any drafter can be held to on any target."""

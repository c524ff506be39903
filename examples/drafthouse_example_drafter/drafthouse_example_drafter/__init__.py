"""A drafter for drafthouse in a package of its own; `pairs.py` is all of it."""

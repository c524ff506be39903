"""Task accuracy: scores the outputs that were timed, in one way for every arm."""

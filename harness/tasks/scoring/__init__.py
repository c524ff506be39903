"""Task accuracy: is an answer right? Taken from the very outputs that were timed, the same way for every arm."""

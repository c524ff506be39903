"""The comparison from Python and notebooks: run one, and read any back as tables."""

"""Reviews a config beyond its values: what it does, which values have no effect, and which values interact."""

"""What a reviewer wants to know of a config beyond its values: what it does, what does nothing, what acts twice."""

"""Measurements, one file a question: `python -m jersey.bench.<question>` prints a table, then one line of JSON."""

"""Speed against baselines: `python -m jersey.bench.QUESTION` prints tables, then a line of JSON."""

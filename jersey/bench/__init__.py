"""Speed benchmarks against baselines: `python -m jersey.bench.NAME` prints tables, then one line of JSON."""

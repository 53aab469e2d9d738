"""Speed against baselines, one file a question: `python -m jersey.bench.QUESTION` prints tables, then a line of JSON."""

"""Compares the accuracy of two sides of runs: `python -m jersey.compare RUN_A... -- RUN_B...`.

The comparison only uses the test predictions in the run folders, so it needs neither torch nor the data.
"""

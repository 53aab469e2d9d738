"""Splits crops into train, val and test, and converts layouts: `python -m jersey.data.prepare SOURCE OUT`."""

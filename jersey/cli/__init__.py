"""The commands behind the flags of launch.py, and a measurement of label preservation."""

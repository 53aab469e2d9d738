"""The verbs of launch.py."""

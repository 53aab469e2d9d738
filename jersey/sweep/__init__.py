"""Runs variations of one experiment, each in its own process and folder, resumes them, and tabulates the results."""

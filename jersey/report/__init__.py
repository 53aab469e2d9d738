"""The report of a run, and the profile of its model."""

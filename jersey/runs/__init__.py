"""The run folder and what is kept there: provenance, checkpoints, metrics, and Aim beside it."""

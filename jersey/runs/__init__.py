"""The run folder and its contents (provenance, checkpoints, metrics), and the Aim tracker."""

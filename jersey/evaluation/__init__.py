"""Evaluates predictions (metrics, calibration, tracklets, digit errors) and augmentations (label preservation)."""

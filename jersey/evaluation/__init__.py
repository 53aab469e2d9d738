"""Evaluation of a split: metrics, calibration, tracklets, digit errors."""

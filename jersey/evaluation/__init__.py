"""What scored splits show: metrics, calibration, tracklets, digit errors."""

"""Trained models scored on labelled pictures: calibration, thresholds, slices, robustness."""

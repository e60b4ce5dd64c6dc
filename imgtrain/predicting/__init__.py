"""Prediction at scale: what is scored, what is said of each picture, where it is written."""

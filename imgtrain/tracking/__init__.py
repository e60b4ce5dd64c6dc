"""Experiment trackers: who is told how a training goes, and what."""

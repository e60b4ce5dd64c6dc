"""Cross-validation: folds cut, each trained as a run of its own, joined, and tested once."""

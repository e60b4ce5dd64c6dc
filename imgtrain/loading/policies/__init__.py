"""Policies of augmentation as data, and the two libraries that carry them out."""

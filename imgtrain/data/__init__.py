"""Pictures on disk: which there are, how they are cut into parts, how they are decoded."""

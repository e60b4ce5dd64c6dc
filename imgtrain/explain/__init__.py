"""Where a model looks: maps of its evidence, laid over the pictures."""

"""From files to batches, without making the engine wait."""

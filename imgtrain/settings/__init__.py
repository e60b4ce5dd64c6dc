"""What can be set, and who set it."""

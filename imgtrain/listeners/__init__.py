"""What hears a run's events."""

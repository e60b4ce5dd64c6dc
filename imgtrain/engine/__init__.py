"""One training, told as a generator of events."""

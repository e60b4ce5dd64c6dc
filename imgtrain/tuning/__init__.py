"""The search for settings: studies of many trials."""

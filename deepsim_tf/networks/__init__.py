"""The two U-Nets that all tasks share, and how a network of this package trains: checks, one update, skipped steps."""

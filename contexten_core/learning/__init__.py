"""Learning: why things failed, which failures are the same, and what works."""

"""What executors propose to do outside: where it would go, whether it may be done, and what is done of it."""

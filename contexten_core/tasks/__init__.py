"""Tasks: what is to be done, and each attempt at doing it."""

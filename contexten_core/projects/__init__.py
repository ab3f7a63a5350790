"""Projects: which repository an event belongs to, and how it is reached."""

"""Templates: checked when they are saved, and rendered in a process of their own."""

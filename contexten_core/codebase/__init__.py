"""What is known of a codebase: its languages, lines, functions and classes, commit by commit."""

"""What is done on a project's code: git, and the commands that run on a checkout."""

"""Experiments: versions of a prompt that share its events until one has proved better."""

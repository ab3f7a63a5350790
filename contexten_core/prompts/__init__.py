"""Prompts: which instruction applies to an event, and why."""

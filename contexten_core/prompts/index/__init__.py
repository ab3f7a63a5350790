"""Finding the few prompts that an event can concern."""

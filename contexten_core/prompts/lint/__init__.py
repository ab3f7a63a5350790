"""Static checks of prompts."""

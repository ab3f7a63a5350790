"""The starter set of prompts."""

"""The web process: webhooks, API and dashboard."""

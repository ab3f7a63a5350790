"""What we say back to GitHub, Linear and Slack."""

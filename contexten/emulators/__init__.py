"""Stand-ins for GitHub, Linear and Slack that speak their HTTP, sign as they do and record what they receive."""

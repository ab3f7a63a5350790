"""Analytics: how long things took, what they used and how they ended."""

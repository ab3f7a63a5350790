"""Events: received once, claimed under a lease, handled step by step, answered through the outbox."""

"""Hardware profiles, and what a datasheet can say about latency."""

"""Training: plain, seeded, resumed from the last whole epoch."""

"""The quality of a model: scores with their uncertainty, and its difference to another model."""

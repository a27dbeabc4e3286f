"""Sessions that run a model, and the search over them."""

"""From a scan and a budget to a recipe: which sparsity and how many bits each tensor gets."""

"""Where every byte of a model goes, and what two models differ in."""

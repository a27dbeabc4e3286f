"""Why a package is fast or not: what its runtime really does with every weight."""

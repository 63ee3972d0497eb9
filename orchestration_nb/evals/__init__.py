"""How good strategies are: scorers and judges, comparisons on the same items, and whether a difference is real."""

"""Training runs of a study: splits, folds, seeds, and what is kept of them."""

"""Using a model on many slides: predictions, patch scores, lesions found."""

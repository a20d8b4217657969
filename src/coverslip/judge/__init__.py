"""Judge: how good is a model, with intervals."""

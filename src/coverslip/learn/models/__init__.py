"""Models: multiple-instance learning over bags of features, one method a file."""

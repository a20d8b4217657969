"""Learn: from bags of features to predictions."""

"""Features, labels and splits from and to other programs' folders."""

"""Encoders: what turns a patch into a feature."""

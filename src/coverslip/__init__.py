"""Slides in, verdict out."""

__version__ = "0.1.0"

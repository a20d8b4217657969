"""Prepare: from a slide to its features."""

"""Slides to features, many at once, into one study."""

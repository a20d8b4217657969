"""Run: many slides, one study."""

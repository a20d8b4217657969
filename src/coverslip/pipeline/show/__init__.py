"""Giving what a run saw to other programs."""

"""Experiment trackers: programs that keep and show the curves of trainings."""

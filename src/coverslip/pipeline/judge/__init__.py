"""Judging runs: tables of predictions, figures, calibration, comparison."""

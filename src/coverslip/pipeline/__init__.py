"""Pipeline: many slides, one study; where the work runs, and the verbs people type."""

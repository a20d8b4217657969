"""A painted cohort: slides of synthetic tissue with lesions whose place is known."""

"""Show: pictures for people."""

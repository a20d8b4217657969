"""CAMELYON16: its slides, the organisers' notes on them, our split, and a miniature."""

"""Interop: the file layouts of other programs."""

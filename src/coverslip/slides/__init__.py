"""Slides: what a whole-slide image is to the rest of the program, and how to open one."""

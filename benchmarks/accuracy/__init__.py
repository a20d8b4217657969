"""`make bench-accuracy`: how good each model of the zoo is, under one protocol."""

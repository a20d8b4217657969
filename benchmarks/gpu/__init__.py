"""What a GPU makes of it: encoder, whole program, training, and what is learnt."""

"""Experiments: a part of the users gets an arm, a variant of the recommendations, and the others get the control."""

"""Read an experiment: from logged slates (ordered lists of recommended items) to the lift of each arm and a verdict.

A part of the users gets an arm, a variant of the recommendations, and the others get the control. The modules are pure:
the Prefect flow and the command are in `flows`.
"""

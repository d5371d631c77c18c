"""Compare served slates (ordered lists of recommended items) with those of the training and of the week before.

Such a difference is called drift. Skew is a difference between logged features and features recomputed from the store.
"""

ALPHA = 0.05
"""The p value below which a difference is no chance."""

ONE_GENERATION, TRAINING_SLATES, GENERATIONS = (0.25, 0.5), (0.25, 1.0), (0.5, 1.0)
"""The PSI (population stability index) of an alarm, of a column and of the items shown: against the week before of the
same generation, against the slates of the training, and against a week of several generations.

0.25 is the usual size of a large change (Siddiqi, "Credit Risk Scorecards"). Shown items change with what is new and
popular. On the demo's data their PSI is up to 0.19 against the week before, and 0.6 against the training. With one item
at a tenth of the places it is 0.85 and 1.4 at least. Under nightly trainings it is up to 0.67, that of other columns up
to 0.29; with one item at a fifth of the places 1.1 at least (docs/decisions.md, 2026-12-02).
"""

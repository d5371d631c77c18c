"""Compare served slates (ordered lists of recommended items) with those of the training and of the week before.

Such a difference is called drift. Skew is a difference between logged features and features recomputed from the store.
"""

ALARM_PSI, ITEM_PSI, TRAINED_ITEM_PSI, ALPHA = 0.25, 0.5, 1.0, 0.05
"""Limits of an alarm: of the PSI (population stability index), of that of the items shown, against the week before and
against the training, and of the p value.

0.25 is the usual size of a large change (Siddiqi, "Credit Risk Scorecards"). Shown items change with what is new and
popular. On the demo's data their PSI is up to 0.19 against the week before, and 0.6 against the training. With one item
at a tenth of the places it is 0.85 and 1.4 at least.
"""

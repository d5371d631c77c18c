"""Compare served slates (ordered lists of recommended items) with those of the training and of the week before.

Such a difference is called drift. Skew is a difference between logged features and features recomputed from the store.
"""

ALARM_PSI, ITEM_PSI, ALPHA = 0.25, 0.5, 0.05
"""Limits of an alarm: of the PSI (population stability index), of that of the items shown, and of the p value.

0.25 is the usual size of a large change (Siddiqi, "Credit Risk Scorecards"). Shown items change with what is new: by up
to 0.22 from day to day on the demo's data.
"""

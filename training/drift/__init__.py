"""Compare served slates (ordered lists of recommended items) with those of the training and of the week before.

Such a difference is called drift. Skew is a difference between logged features and features recomputed from the store.
"""

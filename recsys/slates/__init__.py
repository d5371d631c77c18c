"""From the stored data of a user and scored candidates to a slate, the ordered list of items that the user sees.

Serving and the replay of `python -m training advise` call the same functions.
"""

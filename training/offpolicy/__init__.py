"""Off-policy estimates: the reward that another policy would have had, from slates that an arm drew at random.

A policy gives each candidate of a place a probability, given the places before. The modules are pure numpy: they read
no store and no file.
"""

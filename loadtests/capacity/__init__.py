"""The capacity model: which cores, memory, network and money a number of users, items and slates a second needs."""

"""Records about users and slates that the store holds: user records, precomputed lists, impressions, trending items."""

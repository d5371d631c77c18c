"""Records of the store: users' histories, precomputed recommendations, impressions (shown lists) and trending items."""

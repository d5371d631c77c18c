"""What is stored about users and slates: records, precomputed lists, impressions, trending items."""

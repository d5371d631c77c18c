"""Models that training and serving share: item and user encoders (towers), the ranker, and their features."""

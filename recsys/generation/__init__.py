"""A generation: one immutable folder of models and tables. Written, published, verified, cached and loaded here."""

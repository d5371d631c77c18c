"""What the deployment offers, without HTTP, gRPC or BentoML: one module a verb, and the recommender over them."""

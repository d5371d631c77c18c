"""A generation: one immutable folder of models and tables, from its manifest to publishing, caching and loading."""

"""A generation: one immutable folder of trained models and tables; its manifest, publishing, caching and loading."""

"""Stage 3, fit: the first stage of a model, which retrieves candidates: towers, and tables of items."""

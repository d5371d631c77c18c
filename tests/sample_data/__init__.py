"""Small datasets, and the generations trained on them."""

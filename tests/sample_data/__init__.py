"""Small datasets for tests, and the generations (sets of models and tables) trained on them."""

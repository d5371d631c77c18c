"""Items that were put after a generation was trained: their state, and the generation's tables extended by them."""

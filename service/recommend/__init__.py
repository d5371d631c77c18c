"""How a request becomes a slate (the ordered list of recommended items): stages, batches, deadlines and fallbacks."""

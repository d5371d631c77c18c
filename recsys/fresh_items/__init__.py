"""Items added after training through PUT /items: their state, and the trained item tables extended by them."""

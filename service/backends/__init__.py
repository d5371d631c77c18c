"""The backends, retrieval (finds candidate items) and ranking (scores them), and the gateway's calls of them."""

"""A deployment on several hosts, and networks that fail."""

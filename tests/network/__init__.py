"""A deployment on several hosts, under faults of the network."""

"""Network fault tests: the service runs on several hosts, and the links between them fail."""

"""Open loops of requests at both doors, and the check that each slate is the slate of the generation that it names."""

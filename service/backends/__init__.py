"""How the gateway calls retrieval and ranking."""

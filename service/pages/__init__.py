"""The web pages of the server: / to try recommendations, and /docs with the API."""

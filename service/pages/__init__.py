"""The web pages of the server: / to explore slates, and /docs with the API."""

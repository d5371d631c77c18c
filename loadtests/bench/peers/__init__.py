"""The peers: servers that compute the same slates from the same generation with common libraries."""

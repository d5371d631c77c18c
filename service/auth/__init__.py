"""API keys with scopes, tenants and rate limits, their checks in the HTTP and gRPC servers, and TLS."""

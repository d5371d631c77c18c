"""API keys with scopes, tenants and rates, the key checks of both doors, and TLS."""

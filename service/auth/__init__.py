"""Keys of callers, their scopes, tenants and rates, and the guards of both doors."""

"""The proto's packages, one folder a name."""

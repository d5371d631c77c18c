"""Load tests: they know the deployment's HTTP door and slo.toml, and nothing of its insides."""

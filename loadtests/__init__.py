"""Load tests: they know the deployment's doors and slo.toml; `generations`, `kernels` and `peers` look inside."""

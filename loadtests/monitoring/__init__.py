"""Rules for Prometheus and dashboards for Grafana in deploy/, from slo.toml: `python -m loadtests.monitoring`."""

"""The Grafana dashboards: a module a dashboard, each with its rows of panels."""

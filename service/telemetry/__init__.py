"""Metrics, traces and logs of the deployment."""

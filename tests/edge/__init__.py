"""Attacks on both doors of a deployment, and their effect on other clients."""

"""Faults done to a running deployment, and what it answers meanwhile."""

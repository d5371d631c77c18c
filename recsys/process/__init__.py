"""Helpers for the start and end of a process: missing packages, Ctrl-C, the death of the parent, process identity."""

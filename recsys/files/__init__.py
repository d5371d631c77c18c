"""Helpers for files on this host: atomic writes, mapped arrays, files read again on change, TOML error messages."""

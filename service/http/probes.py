"""The probes: the only paths of BentoML that a client reaches, with GET or HEAD."""

from __future__ import annotations

PROBES = ("/livez", "/healthz", "/readyz")

METHODS = ("GET", "HEAD")
"""BentoML's own answer to another method is plain text."""

"""The paths of BentoML's that ask whether a process lives and is ready: of all of its own, the only ones reached."""

from __future__ import annotations

PROBES = ("/livez", "/healthz", "/readyz")

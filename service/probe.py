"""`python -m service.probe [--live]`: whether the deployment on this host is ready, or alive; 0, or 1 with a sentence.

For whoever has no HTTP client at hand, as a container's health check. Imports nothing that has to be installed.
"""

from __future__ import annotations

import os
import ssl
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping
from contextlib import suppress

SECONDS = 4
"""To answer in: less than an image's health check waits."""

MOST_REASON = 300
"""Bytes of an answer that are read."""

ANYWHERE = {"", "0.0.0.0", "::"}

_DIRECT = urllib.request.build_opener(
    urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=ssl._create_unverified_context())
)
"""Asks this machine itself, whatever proxy the environment names, and whatever name its certificate is for."""


def main(arguments: list[str], environment: Mapping[str, str]) -> int:
    """Ask; the exit code."""
    url = address(environment) + ("/livez" if "--live" in arguments else "/readyz")
    fault = wrong_at(url, SECONDS)
    if fault is None:
        return 0
    sys.stderr.write(f"tandem: {url}: {fault}\n")
    return 1


def wrong_at(url: str, seconds: float) -> OSError | None:
    """Why this machine's own service does not say yes at a URL; None where it does."""
    try:
        with _DIRECT.open(url, timeout=seconds):
            return None
    except urllib.error.HTTPError as error:
        with error, suppress(OSError):  # the body gives the reason
            reason = error.read(MOST_REASON).decode("utf-8", "replace").strip()
            return OSError(f"{error.code}: {reason}") if reason else error
        return error
    except OSError as error:  # a URLError is one
        return error


def address(environment: Mapping[str, str]) -> str:
    """Where the HTTP door is, asked from its own host."""
    host = environment.get("TANDEM_HOST", "")
    scheme = "https" if environment.get("TANDEM_TLS_CERT") else "http"
    return f"{scheme}://{'127.0.0.1' if host in ANYWHERE else host}:{environment.get('PORT') or 3000}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ))

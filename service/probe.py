"""The health check of a container: `python -m service.probe` exits with 0 if this host's server is ready, else with 1.

It prints why it is not ready. With `--live` it checks only that the server is alive. A container has no HTTP client,
and the module imports only the standard library.
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
"""Timeout of a probe, less than that of the image's health check."""

MOST_REASON = 300
"""Bytes of an answer that an error repeats."""

ANYWHERE = {"", "0.0.0.0", "::"}

_UNVERIFIED = ssl.create_default_context()
_UNVERIFIED.check_hostname, _UNVERIFIED.verify_mode = False, ssl.CERT_NONE

_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=_UNVERIFIED))
"""Calls this machine without a proxy of the environment, and accepts any certificate."""


def main(arguments: list[str], environment: Mapping[str, str]) -> int:
    """Probe; the exit code."""
    url = address(environment) + ("/livez" if "--live" in arguments else "/readyz")
    fault = wrong_at(url, SECONDS)
    if fault is None:
        return 0
    sys.stderr.write(f"tandem: {url}: {fault}\n")
    return 1


def wrong_at(url: str, seconds: float) -> OSError | None:
    """Why a URL of this machine does not answer with success; None if it does."""
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
    """The URL of the HTTP server for a client on the same host."""
    host = environment.get("TANDEM_HOST", "")
    scheme = "https" if environment.get("TANDEM_TLS_CERT") else "http"
    address = "127.0.0.1" if host in ANYWHERE else f"[{host}]" if ":" in host else host
    return f"{scheme}://{address}:{environment.get('PORT') or 3000}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ))

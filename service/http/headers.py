"""Headers that every HTTP answer has, and those of the page.

There are no `access-control-*`: a page from elsewhere may not read an answer. There is no `server`.
"""

from __future__ import annotations

import base64
import hashlib
import re

Headers = list[tuple[bytes, bytes]]

EVERY: Headers = [(b"x-content-type-options", b"nosniff"), (b"cache-control", b"no-store")]

OVER_TLS: Headers = [(b"strict-transport-security", b"max-age=31536000")]

_INLINE = re.compile(r"<(script|style)>(.*?)</\1>", re.DOTALL)


def of_page(page: str) -> dict[str, str]:
    """Those of a page whose scripts and styles stand in itself: it runs these, by their hashes, and nothing else."""
    hashes: dict[str, list[str]] = {"script": [], "style": []}
    for kind, text in _INLINE.findall(page):
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        hashes[kind].append(f"'sha256-{digest}'")
    allowed = [f"{kind}-src {' '.join(found) or chr(39) + 'none' + chr(39)}" for kind, found in hashes.items()]
    policy = ["default-src 'none'", *allowed, "connect-src 'self'", "base-uri 'none'", "form-action 'none'"]
    return {
        "content-security-policy": "; ".join([*policy, "frame-ancestors 'none'"]),
        "x-frame-options": "DENY",
        "referrer-policy": "no-referrer",
    }

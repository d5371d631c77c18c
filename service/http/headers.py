"""The security headers of every HTTP response, and the content security policy of the page.

No response has `access-control-*`, so a page of another origin cannot read one. No response has `server`.
"""

from __future__ import annotations

import base64
import hashlib
import re

from starlette.types import ASGIApp, Message, Receive, Scope, Send

EVERY = ((b"x-content-type-options", b"nosniff"), (b"cache-control", b"no-store"))

OVER_TLS = (*EVERY, (b"strict-transport-security", b"max-age=31536000"))

_INLINE = re.compile(r"<(script|style)>(.*?)</\1>", re.DOTALL)


class SecurityHeaders:
    """An ASGI middleware that adds the headers to each response."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        added = OVER_TLS if scope["scheme"] == "https" else EVERY

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message.get("headers", ()), *added]}
            await send(message)

        await self._app(scope, receive, sending)


def of_page(page: str) -> dict[str, str]:
    """The headers of a page with inline scripts and styles: a browser runs these, by their hashes, and no others."""
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

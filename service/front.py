"""In front of BentoML's own app: our verbs without its middleware, its probes with it, and nobody parsed in vain.

Its middleware costs a request as much as a hop does, and counts, times and traces what the doors count, time and trace
themselves. What comes while too many wait is answered from here, before a byte of it is parsed.
"""

from __future__ import annotations

import json
from typing import Any

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from service.admission import overloaded
from service.http.app import Door
from service.http.probes import PROBES
from service.schema.verbs import TIMED
from service.schema.verdict import AGAIN, error_body
from service.telemetry import metrics

_REFUSED = {verb.path: metrics.request_seconds.labels(verb.name, 429) for verb in TIMED}


FULL = json.dumps({"error": error_body(overloaded()).model_dump(exclude_none=True)}).encode()
FULL_HEADERS = [
    (b"content-type", b"application/json"),
    (b"content-length", str(len(FULL)).encode()),
    (b"retry-after", str(AGAIN["overloaded"]).encode()),
]
_START: dict[str, Any] = {"type": "http.response.start", "status": 429, "headers": FULL_HEADERS}
_REST: dict[str, Any] = {"type": "http.response.body", "body": FULL}


def refused(door: Door, path: str) -> bool:
    """Whether whoever comes now is to come back later, before a byte of it is parsed: 429 and FULL. It is counted."""
    counted = _REFUSED.get(path)
    if counted is None or door.recommender is None or not door.recommender.full:
        return False
    counted.observe(0)
    return True


class Front:
    """What the server asks first, once it stands there."""

    def __init__(self, door: Door, behind: ASGIApp) -> None:
        self._door = door
        self._behind = behind

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or have it answered."""
        if scope["type"] != "http" or scope["path"] in PROBES:
            await self._behind(scope, receive, send)
            return
        if refused(self._door, scope["path"]):
            await send(_START)
            await send(_REST)
            return
        hot = self._door.hot.get(scope["path"]) if scope["method"] == "POST" else None
        if hot:
            response = await hot(Request(scope, receive))
            await response(scope, receive, send)
            return
        await self._door.app(scope, receive, send)

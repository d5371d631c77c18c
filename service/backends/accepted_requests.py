"""The middleware of retrieval and ranking: it accepts only calls of complete rows of bytes, probes and /metrics."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from service.backends.rows import WIDTH, width_of
from service.http.paths import METHODS, PROBES
from service.telemetry.throttled_logger import ThrottledLogger

MAX_BYTES = 16 << 20
"""Limit of a body. 512 of the widest rows are 3.3 MB."""

_REFUSED = ThrottledLogger("%s %.100r of %s is refused with %d.")


class RowsOnly:
    """Passes on calls of complete rows, probes and GET /metrics, and refuses all other requests.

    A batch of BentoML's dispatcher may hold rows of several calls. A call with rows of another width must not reach the
    dispatcher, because the other calls of the batch would fail. BentoML also logs a traceback for each call that it
    refuses itself.
    """

    def __init__(self, app: ASGIApp, widths: Mapping[str, int]) -> None:
        """widths: bytes of a row, by the name of the API."""
        self._app = app
        self._widths = {f"/{api}": width for api, width in widths.items()}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        refusal = self._refusal(scope) if scope["type"] == "http" else None
        if refusal is not None:
            client = (scope["client"] or ("a unix socket",))[0]
            _REFUSED.warn(scope["method"], scope["path"], client, refusal.status_code)
        await (self._app if refusal is None else refusal)(scope, receive, send)

    def _refusal(self, scope: Scope) -> Response | None:
        path, width = scope["path"], self._widths.get(scope["path"])
        if scope["method"] in METHODS and path in (*PROBES, "/metrics"):
            return None
        if width is None or scope["method"] != "POST":
            return PlainTextResponse("There is nothing here.", 404)
        headers = dict(scope["headers"])
        length = headers.get(b"content-length", b"")  # uvicorn has checked the number
        complete = width_of(scope) == width and length and int(length) and not int(length) % width
        if not complete or b"upgrade" in headers:  # uvicorn drops the body of a call with that header
            return PlainTextResponse(f"Send complete rows, {width} bytes each, with the header {WIDTH}.", 400)
        if int(length) > MAX_BYTES:
            return PlainTextResponse(f"The rows of a call have at most {MAX_BYTES:,} bytes.", 413)
        return None

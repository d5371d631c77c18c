"""The HTTP body of a call of retrieval or ranking: raw rows of one width, read and written by BentoML's own routes.

BentoML unpickles the body of an ordinary API of a dependent service. `Rows` reads the bytes itself, so no content type
leads to a deserializer.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import bentoml
import numpy as np
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from service.http.probes import METHODS, PROBES
from service.telemetry.throttled_logger import ThrottledLogger

CONTENT_TYPE = "application/x-tandem-rows"

WIDTH = "x-row-bytes"
"""The header with the bytes of one row, in a call and in its answer."""

MAX_BYTES = 16 << 20
"""Of one body. 512 of the widest rows are 3.3 MB."""

_REFUSED = ThrottledLogger("%s %.100r of %s is refused with %d.")


class Rows(bentoml.IODescriptor):  # type: ignore[misc]  # BentoML exports it as Any
    """An array [B, width] of uint8. `RowsOnly` has checked its size."""

    __root_input__: ClassVar[bool] = True  # BentoML passes the array itself to the API, as its one argument
    media_type: ClassVar[str | None] = CONTENT_TYPE

    @classmethod
    async def from_http_request(cls, request: Request, serde: object) -> Any:  # noqa: ARG003  # of BentoML's signature
        """Read the rows of a call. The array may be written to: compiled kernels require that."""
        return np.frombuffer(bytearray(await request.body()), np.uint8).reshape(-1, width_of(request.scope) or 1)

    @classmethod
    async def to_http_response(cls, obj: Any, serde: object) -> Response:  # noqa: ARG003  # of BentoML's signature
        """Write the rows of an answer."""
        return Response(obj.tobytes(), media_type=CONTENT_TYPE, headers={WIDTH: str(obj.shape[1])})


class RowsOnly:
    """The ASGI middleware of a backend: it passes on calls of whole rows, probes and GET /metrics, and nothing else.

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
        length = dict(scope["headers"]).get(b"content-length", b"")  # uvicorn has checked the number
        if width_of(scope) != width or not length or not int(length) or int(length) % width:
            return PlainTextResponse(f"Send whole rows, {width} bytes each, with the header {WIDTH}.", 400)
        if int(length) > MAX_BYTES:
            return PlainTextResponse(f"The rows of a call have at most {MAX_BYTES:,} bytes.", 413)
        return None


def width_of(scope: Scope) -> int | None:
    """The width of a row by the header of a call; None without a valid header."""
    value: bytes = dict(scope["headers"]).get(WIDTH.encode(), b"")
    return int(value) if value.isdigit() and len(value) < 10 and int(value) else None

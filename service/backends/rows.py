"""The HTTP body of a call of retrieval or ranking: rows of raw bytes, one for each query, as BentoML passes it on.

BentoML unpickles the body of an ordinary API of a dependent service. `Rows` reads the bytes itself, so no content type
leads to a deserializer.
"""

from __future__ import annotations

from typing import Any, ClassVar

import bentoml
import numpy as np
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Scope

CONTENT_TYPE = "application/x-tandem-rows"

WIDTH = "x-row-bytes"
"""The header with the bytes of one row, in a call and in its answer."""


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


def width_of(scope: Scope) -> int | None:
    """The width of a row by the header of a call; None without a valid header."""
    value: bytes = dict(scope["headers"]).get(WIDTH.encode(), b"")
    return int(value) if value.isdigit() and len(value) < 10 and int(value) else None

"""The HTTP body of a call of retrieval or ranking: raw rows of one width, read and written by BentoML's own routes.

BentoML unpickles the body of an ordinary API of a dependent service. `Rows` reads the bytes itself, so no content type
leads to a deserializer.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Any, ClassVar

import bentoml
import numpy as np
from bentoml.exceptions import BadInput, BentoMLException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Scope

CONTENT_TYPE = "application/x-tandem-rows"

WIDTH = "x-row-bytes"
"""The header with the bytes of one row, in a call and in its answer."""

MAX_BYTES = 16 << 20
"""Of one body. 512 of the widest rows are 3.3 MB."""


class Rows(bentoml.IODescriptor):  # type: ignore[misc]  # BentoML exports it as Any
    """An array [B, width] of uint8; a subclass by `rows_of` accepts one width only.

    A batch of BentoML's dispatcher may hold rows of several calls, so a call with rows of another width must not reach
    it: the other calls of the batch would fail.
    """

    __root_input__: ClassVar[bool] = True  # BentoML passes the array itself to the API, as its one argument
    media_type: ClassVar[str | None] = CONTENT_TYPE
    width: ClassVar[int] = 0

    @classmethod
    async def from_http_request(cls, request: Request, serde: object) -> Any:  # noqa: ARG003  # of BentoML's signature
        """Read the rows of a call. The array may be written to: compiled kernels require that."""
        body = await _read(request)
        width = width_of(request.scope)
        if width is None or width != (cls.width or width) or not body or len(body) % width:
            expected = f"{cls.width} bytes each" if cls.width else "all of one width"
            raise BadInput(f"Send whole rows, {expected}, with the header {WIDTH}.")
        return np.frombuffer(body, np.uint8).reshape(-1, width)

    @classmethod
    async def to_http_response(cls, obj: Any, serde: object) -> Response:  # noqa: ARG003  # of BentoML's signature
        """Write the rows of an answer."""
        return Response(obj.tobytes(), media_type=CONTENT_TYPE, headers={WIDTH: str(obj.shape[1])})


def rows_of(width: int) -> type[Rows]:
    """The input of an API whose rows have `width` bytes."""
    return type("Rows", (Rows,), {"width": width, "__module__": __name__})


def width_of(scope: Scope) -> int | None:
    """The width of a row by the header of a call; None without a valid header."""
    value: bytes = dict(scope["headers"]).get(WIDTH.encode(), b"")
    return int(value) if value.isdigit() and len(value) < 10 and int(value) else None


async def _read(request: Request) -> bytearray:
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > MAX_BYTES:
            raise BentoMLException(
                f"The rows of a call have at most {MAX_BYTES:,} bytes.", error_code=HTTPStatus.REQUEST_ENTITY_TOO_LARGE
            )
    return body

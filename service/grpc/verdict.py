"""A verdict in gRPC's words: the status of an error, and what goes with it in the trailing metadata."""

from __future__ import annotations

import json
from base64 import b64encode
from functools import lru_cache
from urllib.parse import quote

import grpc

from service import schema
from service.grpc import frames
from service.schema.verdict import AGAIN

ERROR_KEY = "tandem-error-bin"
PUSHBACK_KEY = "grpc-retry-pushback-ms"

HEAD = frames.block([(b":status", b"200"), (b"content-type", b"application/grpc")])
DONE = frames.block([(b"grpc-status", b"0")])
NO_GRPC = frames.block([(b":status", b"415"), (b"accept-post", b"application/grpc")])
"""Header blocks: before an answer, behind it, and for who asks for something else."""

_STATUS = {
    "unauthenticated": grpc.StatusCode.UNAUTHENTICATED,
    "forbidden": grpc.StatusCode.PERMISSION_DENIED,
    "limited": grpc.StatusCode.RESOURCE_EXHAUSTED,
    "overloaded": grpc.StatusCode.RESOURCE_EXHAUSTED,
    "too_large": grpc.StatusCode.RESOURCE_EXHAUSTED,
    "not_found": grpc.StatusCode.NOT_FOUND,
    "full": grpc.StatusCode.FAILED_PRECONDITION,
    "deadline": grpc.StatusCode.DEADLINE_EXCEEDED,
    "timeout": grpc.StatusCode.DEADLINE_EXCEEDED,
    "not_ready": grpc.StatusCode.UNAVAILABLE,
    "store": grpc.StatusCode.UNAVAILABLE,
    "unavailable": grpc.StatusCode.UNAVAILABLE,
    "internal": grpc.StatusCode.INTERNAL,
}

_PLAIN = "".join(chr(letter) for letter in range(0x20, 0x7F) if letter != ord("%"))


class Refused(Exception):
    """Ends a call with a status; trailers: the header block that says so, where it was made before."""

    def __init__(self, code: grpc.StatusCode, message: str, trailers: bytes = b"") -> None:
        super().__init__(message)
        self.code = code
        self._trailers = trailers

    @property
    def trailers(self) -> bytes:
        """The header block that says so."""
        return self._trailers or _trailers(self.code, str(self))


def status_of(body: schema.ErrorBody) -> grpc.StatusCode:
    """The status that goes with an error."""
    return _STATUS.get(body.code, grpc.StatusCode.INVALID_ARGUMENT)


def refused(body: schema.ErrorBody, again: int | None = None) -> Refused:
    """What ends a call with an error; again: seconds after which another try may help, where its code does not say."""
    again = AGAIN.get(body.code) if again is None else again
    return Refused(status_of(body), body.message, _told(body.code, body.message, body.field, again))


@lru_cache(maxsize=64)
def _told(code: str, message: str, field: str | None, again: int | None) -> bytes:
    """The trailers of an error. Of ten thousand that are told to come back all are told the same."""
    body = schema.ErrorBody(code=code, message=message, field=field)
    told = b64encode(json.dumps(body.model_dump(exclude_none=True)).encode()).rstrip(b"=")
    pushback = [] if again is None else [(PUSHBACK_KEY.encode(), str(1000 * again).encode())]
    return _trailers(status_of(body), message, (ERROR_KEY.encode(), told), *pushback)


def _trailers(code: grpc.StatusCode, message: str, *more: tuple[bytes, bytes]) -> bytes:
    status, told = str(code.value[0]).encode(), quote(message, safe=_PLAIN).encode()
    return frames.block([(b"grpc-status", status), (b"grpc-message", told), *more])

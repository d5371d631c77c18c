"""Requests for a slate: of one that was read before but for its user, nothing but the user is read.

A client asks for one user after the other, and all else stays: k, the mode, a filter. To parse and to validate that
takes a lone call .1 ms where others have driven the code from the cache (docs/decisions.md).
"""

from __future__ import annotations

from functools import partial

from recsys.types import Id
from service.grpc import convert
from service.grpc.tandem.v1 import recommender_pb2 as pb
from service.schema import RecommendRequest

_request = partial(convert.request, pb.RecommendRequest, RecommendRequest)

MOST, MOST_BYTES = 256, 256
"""Requests that are remembered, and bytes of one."""

_USER, _TEXT, _NUMBER = 0x0A, 0x0A, 0x10  # tags: RecommendRequest.user_id, and the two kinds of an Id
_MORE = 0x80  # of a byte behind which a number goes on


class Wishes:
    """Of one process."""

    def __init__(self) -> None:
        self._known: dict[bytes, RecommendRequest] = {}

    def read(self, data: bytes) -> RecommendRequest:
        """The request in these bytes; QueryError names the first wrong field."""
        user, rest = _split(data) if len(data) <= MOST_BYTES else (None, b"")
        if user is None:
            return _request(data)
        known = self._known.get(rest)
        if known is not None:
            return known.model_copy(update={"user_id": user})
        request = _request(data)
        own = request.session or request.exclude  # of one user: it comes once, and to keep it costs a second parse
        if not own and "user_id" not in convert.asked(convert.parse(pb.RecommendRequest, rest)):
            if len(self._known) >= MOST:
                self._known.clear()
            self._known[rest] = request
        return request


def _split(data: bytes) -> tuple[Id | None, bytes]:
    """The user that a message begins with, and the rest; None where that is not clear at a glance."""
    if len(data) < 4 or data[0] != _USER or not 2 <= data[1] < _MORE:
        return None, data
    end = 2 + data[1]
    told, rest = data[2:end], data[end:]
    if len(told) != data[1]:
        return None, data
    if told[0] == _NUMBER:
        return _number(told[1:]), rest
    if told[0] == _TEXT and told[1] == len(told) - 2:
        try:
            return told[2:].decode() or None, rest
        except UnicodeDecodeError:
            pass
    return None, data


def _number(told: bytes) -> int | None:
    """One that is not negative, seven bits a byte; None for another."""
    if len(told) > 9 or told[-1] >= _MORE or any(byte < _MORE for byte in told[:-1]):
        return None
    number = 0
    for byte in reversed(told):
        number = number << 7 | byte & _MORE - 1
    return number

"""Slates as the bytes of their message, of which what is said of one item again and again is made once.

Protocol Buffers reads parts of a message that stand one behind the other as one (Encoding, "Last One Wins"). So the id
and the title of an item, and its sources, are encoded by the library and kept, and only scores, sizes and a user's id
are written here. `tests/unit/test_answers.py` compares what is read with what the model has.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from struct import Struct

from google.protobuf.descriptor import FieldDescriptor

from recsys.types import Id
from service.grpc import convert
from service.grpc.tandem.v1 import recommender_pb2 as pb
from service.lines import Lines
from service.query import Degraded, Query
from service.schema import Mode

_DOUBLE, _SIZED = 1, 2  # wire types


def _tag(field: FieldDescriptor, wire: int) -> int:
    return int(field.number) << 3 | wire  # one byte: no field here has a number above 15


_ITEM = pb.ScoredItem.DESCRIPTOR.fields_by_name
_SCORE, _TOWER = _tag(_ITEM["score"], _DOUBLE), _tag(_ITEM["tower_score"], _DOUBLE)
_ITEM_TAG = bytes([_tag(pb.Slate.DESCRIPTOR.fields_by_name["items"], _SIZED)])
_USER_TAG = bytes([_tag(pb.Slate.DESCRIPTOR.fields_by_name["user_id"], _SIZED)])
_TEXT_TAG = bytes([_tag(pb.Id.DESCRIPTOR.fields_by_name["text"], _SIZED)])
_SLATE_TAG = bytes([_tag(pb.RecommendResponse.DESCRIPTOR.fields_by_name["slates"], _SIZED)])
_SCORES = Struct("<BdBd")
_ONE_SCORE = Struct("<Bd").size
KEPT = 1024
"""Parts of slates of each kind that are kept, at most."""

_MORE = 0x80  # of a byte behind which the number goes on


def encoded(queries: Sequence[Query]) -> bytes:
    """The RecommendResponse of answered queries."""
    return b"".join([_sized(_SLATE_TAG, _slate(query)) for query in queries])


def _slate(query: Query) -> bytes:
    user_id, pack = query.user_id, _SCORES.pack
    parts = [_user(user_id), _made(query.generation.id, query.made_by, *query.degraded)]
    parts += [_history(len(query.history[0])), *[_removed(*each) for each in query.removed.items()]]
    if query.session:
        unknown = {"unknown_items": query.unknown_items, "unknown_types": query.unknown_types}
        parts.append(convert.message_of(pb.Slate, unknown).SerializeToString())
    told = zip(*_LINES.of(query), strict=True)
    parts += [line + pack(_SCORE, score, _TOWER, tower)[:length] for (line, length), score, tower in told]
    return b"".join(parts)


def _user(user_id: Id | None) -> bytes:
    if user_id is None:
        return b""
    if isinstance(user_id, str):
        text = user_id.encode()
        return _sized(_USER_TAG, _sized(_TEXT_TAG, text))
    told: bytes = pb.Slate(user_id={"number": user_id}).SerializeToString()
    return told


@lru_cache(64)
def _made(generation: str, mode: Mode, *degraded: Degraded) -> bytes:
    told: bytes = pb.Slate(generation=generation, mode=mode, degraded=degraded).SerializeToString()
    return told


@lru_cache(KEPT)
def _history(count: int) -> bytes:
    told: bytes = pb.Slate(history=count).SerializeToString()
    return told


@lru_cache(KEPT)
def _removed(reason: str, count: int) -> bytes:
    told: bytes = pb.Slate(removed={reason: count}).SerializeToString()
    return told


def _line(item_id: Id, title: str, sources: tuple[str, ...], rules: tuple[str, ...], spoke: bool) -> tuple[bytes, int]:
    """All but the scores, and the size of those: retrieval's is left out where it did not speak."""
    known = {"item_id": item_id, "title": title, "sources": sources, "rules": rules}
    told: bytes = convert.message_of(pb.ScoredItem, known).SerializeToString()
    length = _SCORES.size if spoke else _ONE_SCORE
    return _sized(_ITEM_TAG, told, length), length


_LINES = Lines(_line)


def _sized(tag: bytes, body: bytes, more: int = 0) -> bytes:
    """A field that tells its size, seven bits a byte; more: bytes of it that come behind."""
    told, size = bytearray(tag), len(body) + more
    while size >= _MORE:
        told.append(size & _MORE - 1 | _MORE)
        size >>= 7
    told.append(size)
    return bytes(told) + body

"""Slates as the bytes of their message, of which what is said of one item again and again is made once.

Protocol Buffers reads parts of a message that stand one behind the other as one (Encoding, "Last One Wins"). So the id
and the title of an item, and its sources, are encoded by the library and kept, and only scores and sizes are written
here: twenty items cost 77 us as a message, and NN so (by hand). `tests/unit/test_answers.py` compares what is read of
both.
"""

from __future__ import annotations

from collections.abc import Sequence
from struct import Struct

from google.protobuf.descriptor import FieldDescriptor

from recsys.types import Id
from service.lines import Lines
from service.query import Query
from service.rpc import convert
from service.rpc.tandem.v1 import recommender_pb2 as pb

_DOUBLE, _SIZED = 1, 2  # wire types


def _tag(field: FieldDescriptor, wire: int) -> int:
    return int(field.number) << 3 | wire  # one byte: no field here has a number above 15


_ITEM = pb.ScoredItem.DESCRIPTOR.fields_by_name
_SCORE, _TOWER = _tag(_ITEM["score"], _DOUBLE), _tag(_ITEM["tower_score"], _DOUBLE)
_ITEM_TAG = bytes([_tag(pb.Slate.DESCRIPTOR.fields_by_name["items"], _SIZED)])
_SLATE_TAG = bytes([_tag(pb.RecommendResponse.DESCRIPTOR.fields_by_name["slates"], _SIZED)])
_SCORES = Struct("<BdBd")
_ONE_SCORE = Struct("<Bd").size
_MORE = 0x80  # of a byte behind which the number goes on


def encoded(queries: Sequence[Query]) -> bytes:
    """The RecommendResponse of answered queries."""
    return b"".join([_sized(_SLATE_TAG, _slate(query)) for query in queries])


def _slate(query: Query) -> bytes:
    user_id = query.user_id
    rest = pb.Slate(
        user_id={"text": user_id} if isinstance(user_id, str) else {"number": user_id},
        generation=query.generation.id,
        mode=query.made_by.value,
        history=len(query.history[0]),
        removed=query.removed,
        degraded=[stage.value for stage in query.degraded],
    )
    pack, parts = _SCORES.pack, [rest.SerializeToString()]
    told = zip(*_LINES.of(query), strict=True)
    parts += [line + pack(_SCORE, score, _TOWER, tower)[:length] for (line, length), score, tower in told]
    return b"".join(parts)


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

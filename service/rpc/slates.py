"""Slates as the bytes of their message, of which what is said of one item again and again is made once.

Protocol Buffers reads parts of a message that stand one behind the other as one (Encoding, "Last One Wins"). So the id
and the title of an item, and its sources, are encoded by the library and kept, and only scores and sizes are written
here: twenty items cost 77 us as a message and 31 so (by hand). `tests/unit/test_rpc_slates.py` compares what is read
of both.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache, lru_cache
from struct import Struct

from google.protobuf.descriptor import FieldDescriptor

from recsys.types import Id
from service.answers import Told
from service.rpc import convert
from service.rpc.tandem.v1 import recommender_pb2 as pb

KEPT = 20_000
"""Items whose id and title are kept as bytes, at most: some 4 MB, computed."""

_DOUBLE, _SIZED = 1, 2  # wire types


def _tag(field: FieldDescriptor, wire: int) -> int:
    return int(field.number) << 3 | wire  # one byte: no field here has a number above 15


_ITEM = pb.ScoredItem.DESCRIPTOR.fields_by_name
_SCORE_TAG, _TOWER_TAG = _tag(_ITEM["score"], _DOUBLE), _tag(_ITEM["tower_score"], _DOUBLE)
_ITEM_TAG = bytes([_tag(pb.Slate.DESCRIPTOR.fields_by_name["items"], _SIZED)])
_SLATE_TAG = bytes([_tag(pb.RecommendResponse.DESCRIPTOR.fields_by_name["slates"], _SIZED)])
_SCORE, _SCORES = Struct("<Bd"), Struct("<BdBd")
_MORE = 0x80  # of a byte behind which the number goes on
_SMALL = [bytes([size]) for size in range(_MORE)]


def encoded(slates: Sequence[Told]) -> bytes:
    """The RecommendResponse of some slates, by `answers.slate`."""
    return b"".join([_sized(_SLATE_TAG, _slate(slate)) for slate in slates])


def _slate(told: Told) -> bytes:
    rest = {name: value for name, value in told.items() if name != "items"}
    parts = [convert.message_of(pb.Slate, rest).SerializeToString()]
    parts += [_sized(_ITEM_TAG, _item(item)) for item in told["items"]]
    return b"".join(parts)


def _item(told: Told) -> bytes:
    tower = told["tower_score"]
    scores = (
        _SCORE.pack(_SCORE_TAG, told["score"])
        if tower is None
        else _SCORES.pack(_SCORE_TAG, told["score"], _TOWER_TAG, tower)
    )
    known = _shown(told["item_id"], told["title"]) + scores + _sources(tuple(told["sources"]))
    return known + pb.ScoredItem(rules=told["rules"]).SerializeToString() if told["rules"] else known


@lru_cache(KEPT)
def _shown(item_id: Id, title: str) -> bytes:
    told: bytes = convert.message_of(pb.ScoredItem, {"item_id": item_id, "title": title}).SerializeToString()
    return told


@cache  # there are 256 of them
def _sources(sources: tuple[str, ...]) -> bytes:
    told: bytes = pb.ScoredItem(sources=sources).SerializeToString()
    return told


def _sized(tag: bytes, body: bytes) -> bytes:
    """A field that tells its size, seven bits a byte."""
    size = len(body)
    if size < _MORE:
        return tag + _SMALL[size] + body
    told = bytearray(tag)
    while size >= _MORE:
        told.append(size & _MORE - 1 | _MORE)
        size >>= 7
    told.append(size)
    return bytes(told) + body

"""Slates as JSON, of which what is said of one item again and again is made once.

`tests/unit/test_answers.py` compares what they say with what the model would write.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache, partial
from operator import mod

from pydantic_core import to_json

from recsys.types import Id
from service.lines import Lines
from service.query import Degraded, Query
from service.schema import Mode

_json = partial(to_json, inf_nan_mode="null")


def slate(query: Query) -> bytes:
    """A `schema.RecommendResponse` of an answered query."""
    lines, scores, tower = _LINES.of(query)
    numbers = _numbers(scores + tower)
    told = zip(numbers[: len(lines)], numbers[len(lines) :], strict=True) if lines else ()
    items, made = b",".join(map(mod, lines, told)), _made(query.generation.id, query.made_by, *query.degraded)
    removed = _json(query.removed) if query.removed else b"{}"
    unknown = (_json(query.unknown_items), _json(query.unknown_types)) if query.session else (b"[]", b"[]")
    begun = b'{"user_id":%b,"items":[%b],' % (_json(query.user_id), items)
    return begun + made % (len(query.history[0]), removed, *unknown)


@lru_cache(64)
def _made(generation: str, mode: Mode, *degraded: Degraded) -> bytes:
    """With four places: the length of the history, what was removed, the unknown items and the unknown event types."""
    begun, left_out = _json({"generation": generation, "mode": mode})[1:-1], _json(degraded)
    counted = b',"history":%d,"removed":%b,"degraded":' + left_out + b',"unknown_items":%b,"unknown_types":%b}'
    return begun.replace(b"%", b"%%") + counted


def several(queries: Sequence[Query]) -> bytes:
    """A `schema.SlatesResponse`."""
    return b'{"slates":[%b]}' % b",".join(map(slate, queries))


def _line(item_id: Id, title: str, sources: tuple[str, ...], rules: tuple[str, ...], _: bool) -> bytes:
    """With two places to put the scores in."""
    known, why = _json({"item_id": item_id, "title": title})[:-1], _json({"sources": sources, "rules": rules})[1:]
    return known.replace(b"%", b"%%") + b',"score":%b,"tower_score":%b,' + why.replace(b"%", b"%%")


def _numbers(scores: list[float]) -> list[bytes]:
    """As JSON has them: null where one is none."""
    return _json(scores)[1:-1].split(b",")


_LINES = Lines(_line)

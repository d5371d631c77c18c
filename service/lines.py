"""What a slate says of its items: the part that is the same whenever an item is shown, and the scores that are not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

import numpy as np

from recsys.kernels import slates
from recsys.kernels.compiled import plain
from recsys.types import F32, I32, U8, Id, names_of
from service.query import Query

T = TypeVar("T")

KEPT = 20_000
"""Lines of a generation that are kept for a door, at most: some 6 MB, computed."""

PLACES = 4
"""Of a score, behind the point."""

Make = Callable[[Id, str, tuple[str, ...], tuple[str, ...], bool], T]
"""The line of an item from its id, title, sources, rules, and whether retrieval spoke of it."""


class Lines(Generic[T]):
    """Of one door; a process has one."""

    def __init__(self, make: Make[T]) -> None:
        self._make = make
        _told(np.zeros(0, np.int32), np.zeros(0, np.uint8), *2 * [np.zeros(0, np.float32)])  # compiled by no request

    def of(self, query: Query) -> tuple[list[T], list[float], list[float]]:
        """The line of each item of an answered query, its score, and retrieval's; NaN where that did not speak.

        Lines are kept for as many as are asked for again and again, scores are rounded.
        """
        keys, scores, tower = _told(query.items, query.sources, query.tower, query.scores)
        kept: dict[float, T] = query.generation.kept(self)
        lines = [*filter(None, map(kept.get, keys))]
        if len(lines) < len(keys):  # seldom
            lines = [kept.get(key) or self._kept(kept, key, query) for key in keys]
        if query.words:
            for place, row in enumerate(query.items.tolist()):
                if row in query.words:
                    lines[place] = self._made(query, keys[place], query.words[row])
        return lines, scores, tower

    def _kept(self, kept: dict[float, T], key: float, query: Query) -> T:
        if len(kept) >= KEPT:
            kept.clear()
        line = kept[key] = self._made(query, key, ())
        return line

    def _made(self, query: Query, key: float, rules: tuple[str, ...]) -> T:
        generation, told = query.generation, int(key)
        row, sources = told >> 9, names_of(told >> 1 & 0xFF)
        return self._make(generation.item_id(row), generation.title(row), sources, rules, bool(told & 1))


def _told(items: I32, sources: U8, tower: F32, scores: F32) -> list[list[float]]:
    """A number for all that the line of each item depends on, and its two scores."""
    told = np.empty((3, len(items)))
    slates.tell(plain(items), plain(sources), plain(tower), plain(scores), 10.0**PLACES, told)
    values: list[list[float]] = told.tolist()
    return values

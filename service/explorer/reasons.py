"""Reasons in words: what tells an item from the other candidates of its slate, with titles of the user's items."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from math import isclose
from typing import NamedTuple

import numpy as np

from recsys.kernels.feature_kernels import NAMES, RANKS
from recsys.kernels.query_features import ALIKE_WITHIN
from recsys.model.neighbour_tables import RECENT, VOTE_DECAY, Neighbours, powers
from recsys.slates.query import Query
from recsys.types import I32
from service import schema

LEAST = 0.005
"""Smaller reasons are left out. Scores of a slate differ by some tenths."""

AGAINST = "against it: "
"""Begins a reason that lowers the score."""

SMALL_IS_HIGH = {NAMES[row] for row in RANKS}
"""Features whose smallest value, 0, is the first place."""


class Reason(NamedTuple):
    """Some features that say the same, in words. contribution: the sum of their `relative` contributions."""

    words: str
    contribution: float


class _Kind(NamedTuple):
    """The features of one reason. names: a pattern, whose group, such as a column, is `{0}` in the words.

    more, less: words for a value above and below the mean over the candidates. item: finds the user's item that is
    `{item}` in `more`; there is no reason if it finds none.
    """

    names: str
    more: str
    less: str
    item: Callable[[Query, int], int | None] | None = None


def reasons(query: Query, row: int, features: Sequence[schema.Feature], means: Mapping[str, float]) -> list[Reason]:
    """The reasons of a candidate: those that raise its score, then those that lower it, the largest first.

    means: of the features' values over the candidates. A feature that has the same value for all is no reason.
    """
    alike: dict[tuple[_Kind, tuple[str, ...]], list[schema.Feature]] = {}
    for feature in features:
        kind = _kind_of(feature.name)
        if kind is not None and not isclose(feature.value, means[feature.name], rel_tol=1e-4, abs_tol=1e-6):
            alike.setdefault(kind, []).append(feature)
    found = [_reason(query, row, kind, of_kind, means) for kind, of_kind in alike.items()]
    large = [each for each in found if each is not None and abs(each.contribution) >= LEAST]
    return sorted(large, key=lambda each: (each.contribution < 0, -abs(each.contribution)))


@lru_cache(1_024)  # a slate of 30 items has some 1,600 names
def _kind_of(feature: str) -> tuple[_Kind, tuple[str, ...]] | None:
    """The kind of a feature and the groups of its name; None for a feature of the query, such as `wait`."""
    for kind in _KINDS:
        if match := re.fullmatch(kind.names, feature):
            return kind, match.groups()
    return None


def _reason(
    query: Query,
    row: int,
    of: tuple[_Kind, tuple[str, ...]],
    features: Sequence[schema.Feature],
    means: Mapping[str, float],
) -> Reason | None:
    """The reason that features of one kind give. The feature that contributes most decides between its words.

    None where it would be about an item of the user and there is none: ranks of candidates without votes are arbitrary.
    """
    kind, groups = of
    total = sum(each.relative for each in features)
    first = max(features, key=lambda each: each.relative * total)
    is_more = (first.value > means[first.name]) != (first.name in SMALL_IS_HIGH)
    by = kind.item(query, row) if kind.item and is_more else None
    if kind.item and (not len(query.history[0]) or (is_more and by is None)):
        return None
    named = "" if by is None else query.generation.title(by) or str(query.generation.item_id(by))
    words = (kind.more if is_more else kind.less).format(*groups, item=named)
    return Reason((AGAINST if total < 0 else "") + words, total)


def _newest_first(query: Query, count: int) -> I32:
    return query.history[0][: -count - 1 : -1]


def _voter(table: str) -> Callable[[Query, int], int | None]:
    """Finds the user's item that has the largest vote for an item in a neighbour table."""

    def find(query: Query, row: int) -> int | None:
        neighbours: Neighbours = getattr(query.generation.tables, table)
        past = _newest_first(query, RECENT)
        known = past < len(neighbours)
        past, steps = past[known], powers((VOTE_DECAY,))[0, : len(known)][known]
        votes = np.where(neighbours.rows[past] == row, neighbours.weights[past], 0).sum(axis=1) * steps
        return int(past[votes.argmax()]) if votes.any() else None

    return find


def _most_similar(query: Query, row: int) -> int | None:
    """The user's item whose embedding is nearest; None for an item put since, whose embedding the gateway lacks."""
    tables = query.generation.tables
    past = _newest_first(query, ALIKE_WITHIN)
    past = past[past < len(tables)]
    if row >= len(tables) or not len(past):
        return None
    return int(past[(tables.embeddings[past] @ tables.embeddings[row]).argmax()])


def _newest(query: Query, _: int) -> int | None:
    newest = _newest_first(query, 1)
    return int(newest[0]) if len(newest) else None


_KINDS = (
    _Kind("tower.*|from_tower", "near the user's taste as a whole", "far from the user's taste as a whole"),
    _Kind(
        "covisit_.*|from_covisit",
        "often taken soon after {item}",
        "seldom taken soon after the user's items",
        _voter("covisit"),
    ),
    _Kind("follow_.*", "often taken right after {item}", "seldom taken right after the user's items", _voter("follow")),
    _Kind(
        "ease_.*|from_ease", "goes together with {item}", "seldom goes together with the user's items", _voter("ease")
    ),
    _Kind("like_.*", "similar to {item}", "unlike the user's items", _most_similar),
    _Kind("last_content_affinity", "described like {item}", "described unlike the user's newest item", _newest),
    _Kind("content_affinity", "described like the user's items", "described unlike the user's items"),
    _Kind(
        "popularity_(?:10m|1h|24h)", "taken more than others in the last day", "taken less than others in the last day"
    ),
    _Kind("popularity_all", "taken more than others so far", "taken less than others so far"),
    _Kind("popularity_.*|from_popular", "taken more than others lately", "taken less than others lately"),
    _Kind("momentum", "taken more often than before", "taken less often than before"),
    _Kind("age", "known for longer than others", "newer than others"),
    _Kind("repeat_.*|from_repeat", "the user took it before", "the user did not take it before"),
    _Kind("lift_daypart", "taken more at this time of the day", "taken less at this time of the day"),
    _Kind("lift_weekend", "taken more on such a day of the week", "taken less on such a day of the week"),
    _Kind("lift_context", "taken more in this context", "taken less in this context"),
    _Kind("from_fresh", "among the newest items", "not among the newest items"),
    _Kind("from_(.*)", "proposed by {0}", "not proposed by {0}"),  # sources that a deployment adds
    _Kind("(?:own|gap)_(.*)", "its {0} is above that of others", "its {0} is below that of others"),
)
"""The kinds of reasons; the first whose names match counts. Features of the query, such as `wait`, have none."""

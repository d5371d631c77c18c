"""Reasons in words: what tells an item from the other candidates of its slate, with titles of the user's items."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from math import isclose
from typing import NamedTuple

import numpy as np

from recsys.kernels.query_features import ALIKE_WITHIN
from recsys.model.neighbour_tables import RECENT, VOTE_DECAY, Neighbours, powers
from recsys.slates.query import Query
from recsys.types import I32
from service import schema

LEAST = 0.005
"""Smaller reasons are left out. Scores of a slate differ by some tenths."""

AGAINST = "against it: "
"""Begins a reason that lowers the score."""

USERS_ITEMS = "the user's items"
"""In a sentence where no single item of the user decides."""


class Reason(NamedTuple):
    """Some features that say the same, in words. contribution: the sum of their `relative` contributions."""

    words: str
    contribution: float


class _Kind(NamedTuple):
    """The features of one reason. more, less: words for a value above and below the mean over the candidates.

    item: finds the row of the user's item that `{item}` in `more` stands for. `{what}` is a source or a column.
    """

    names: re.Pattern[str]
    more: str
    less: str
    item: Callable[[Query, int], int | None] | None = None


def reasons(query: Query, row: int, features: Sequence[schema.Feature], means: Mapping[str, float]) -> list[Reason]:
    """The reasons of a candidate: those that raise its score, then those that lower it, the largest first.

    means: of the features' values over the candidates. A feature with the same value for all is no reason.
    """
    kinds: dict[int, list[schema.Feature]] = {}
    for feature in features:
        kind = next((at for at, each in enumerate(_KINDS) if each.names.fullmatch(feature.name)), None)
        if kind is not None and not isclose(feature.value, means[feature.name], rel_tol=1e-4, abs_tol=1e-6):
            kinds.setdefault(kind, []).append(feature)
    found = [_reason(query, row, _KINDS[kind], of_kind, means) for kind, of_kind in kinds.items()]
    raising = [each for each in found if each.contribution >= LEAST]
    lowering = [each for each in found if each.contribution <= -LEAST]
    ordered = sorted(raising, key=lambda each: -each.contribution)
    return ordered + sorted(lowering, key=lambda each: each.contribution)


def _reason(
    query: Query, row: int, kind: _Kind, features: Sequence[schema.Feature], means: Mapping[str, float]
) -> Reason:
    """The reason that features of one kind give. The feature that contributes most decides between its words."""
    total = sum(each.relative for each in features)
    first = max(features, key=lambda each: each.relative * total)
    above = first.value > means[first.name]
    if first.name.endswith("_rank"):  # the first place is 0
        above = not above
    by = kind.item(query, row) if kind.item and above else None
    named = USERS_ITEMS if by is None else _name(query, by)
    words = (kind.more if above else kind.less).format(item=named, what=first.name.partition("_")[2])
    return Reason((AGAINST if total < 0 else "") + words, total)


def _name(query: Query, row: int) -> str:
    return query.generation.title(row) or str(query.generation.item_id(row))


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


def _kind(names: str, more: str, less: str, item: Callable[[Query, int], int | None] | None = None) -> _Kind:
    return _Kind(re.compile(names), more, less, item)


_KINDS = (
    _kind("tower.*|from_tower", "near the user's taste as a whole", "far from the user's taste as a whole"),
    _kind(
        "covisit_.*|from_covisit", "often taken soon after {item}", "seldom taken soon after {item}", _voter("covisit")
    ),
    _kind("follow_.*", "often taken right after {item}", "seldom taken right after {item}", _voter("follow")),
    _kind("ease_.*|from_ease", "goes together with {item}", "seldom goes together with {item}", _voter("ease")),
    _kind("like_.*", "similar to {item}", "unlike {item}", _most_similar),
    _kind("last_content_affinity", "described like {item}", "described unlike the user's newest item", _newest),
    _kind("content_affinity", "described like {item}", "described unlike {item}"),
    _kind("popularity_(10m|1h|24h)", "taken by many in the last day", "taken by few in the last day"),
    _kind("popularity_all", "taken by many since it is known", "taken by few since it is known"),
    _kind("popularity_.*|from_popular", "taken by many in the last weeks", "taken by few in the last weeks"),
    _kind("momentum", "taken more often than weeks ago", "taken less often than weeks ago"),
    _kind("age", "known for longer than the others", "newer than the others"),
    _kind("repeat_.*|from_repeat", "the user took it before", "the user did not take it before"),
    _kind("lift_daypart", "taken more at this time of the day", "taken less at this time of the day"),
    _kind("lift_weekend", "taken more on such a day of the week", "taken less on such a day of the week"),
    _kind("lift_context", "taken more in this context", "taken less in this context"),
    _kind("from_.*", "proposed by {what}", "not proposed by {what}"),
    _kind("own_.*", "its {what} is above the others'", "its {what} is below the others'"),
    _kind("gap_.*", "its {what} is above that of {item}", "its {what} is below that of {item}"),
)
"""The kinds of reasons; the first whose names match counts. Features of the query, such as `wait`, have none."""

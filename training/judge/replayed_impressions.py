"""Answer users of a log at the moments of their events, and return the slates as rows of shown items.

A slate is an ordered list of recommended items. The rows have the columns of the files that `python -m flows drain`
writes of served slates, so that both are compared by the same code.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from recsys.model.features import names
from recsys.retrieval.registry import names_of
from recsys.slates.query import Query
from recsys.surfaces import DEFAULT
from recsys.types import I64, Mode, Source
from training.encode.interaction_log import DAY, Log
from training.judge.metric_table import K
from training.judge.replay import BATCH, ReplayedModel
from training.judge.replayed_queries import ReplayedQueries, Trends
from training.read.impressions import columns_of

REFRESHED = 120.0
"""Trending items are those of the last `flows refresh`, which runs every two minutes."""


def replay(service: ReplayedModel, log: Log, at: I64) -> pd.DataFrame:
    """The rows of shown items of a slate before each of some events. at: [Q] positions in the log.

    The models read the user's events before the event, and slates are made at the request (mode realtime).
    """
    queries = ReplayedQueries(log, at, log.items[at], {})
    trending = Trends(log, float(queries.times.min(initial=log.end)) - DAY).of(queries, REFRESHED)
    known, tables = queries.known(0.0), []
    for start in range(0, len(at), BATCH):
        some = [
            _query(service, queries, number, int(known[number]), trending[number])
            for number in range(start, min(start + BATCH, len(at)))
        ]
        of_slates = service.answer_with_features(some)
        for number, (query, features) in enumerate(zip(some, of_slates, strict=True), start):
            tables.append(_table(query, features, f"{at[number]}"))
    columns = [*_NAMES, *columns_of(names(log.catalogue.spec))]
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=columns)


_NAMES = (
    *("impression", "user_id", "generation", "time", "asked", "mode", "surface"),
    *("item_id", "place", "score", "sources"),
)


def _query(
    service: ReplayedModel, queries: ReplayedQueries, number: int, known: int, trending: tuple[int, ...]
) -> Query:
    return service.query(
        queries.user_id(number),
        K,
        float(queries.times[number]),
        queries.record(number, known),
        context=queries.contexts[number],
        extra=dict.fromkeys(trending, int(Source.TRENDING)),
    )


def _table(query: Query, features: np.ndarray, impression: str) -> pd.DataFrame:
    """The rows of a slate, without items that were no candidates: they have no features."""
    found = pd.DataFrame(features, columns=columns_of(names(query.generation.spec)))
    ids = [str(query.generation.item_id(row)) for row in query.items.tolist()]
    sources = [",".join(names_of(flags)) for flags in query.sources.tolist()]
    shared = (impression, str(query.user_id), query.generation.id, query.now, query.now, Mode.REALTIME.value, DEFAULT)
    values = [*([value] * len(ids) for value in shared), ids, np.arange(len(ids)), query.scores, sources]
    named = pd.DataFrame(dict(zip(_NAMES, values, strict=True)))
    return pd.concat([named, found], axis=1)[found.notna().all(axis=1)]

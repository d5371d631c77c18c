"""Compute the features (ranker inputs) of logged items again from the store, and count where the log differs: skew.

A feature differs if serving and training compute different things, or if what was logged is not what was computed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from recsys.alert_limits import SKEW_SHARE
from recsys.kernels.recent_events import WINDOWS
from recsys.lists.user_record import UserRecord
from recsys.model.features import FEATURES, names, width
from recsys.retrieval.registry import SOURCES
from recsys.types import F32, HISTORY_LENGTH, Bool, Event
from training.judge.replay import BATCH, ReplayedModel
from training.read.impressions import columns_of

OF_THE_SET = "tower_gap", "tower_rank", "covisit_share", "covisit_rank", "ease_rank", "popularity_rank"
"""Features that depend on all candidates of a request. Lists and trending items change."""

NOT_RECOMPUTED = columns_of([*OF_THE_SET, *WINDOWS])
"""Event counts (WINDOWS) are left out, too: the store no longer has the minutes before a request of yesterday."""

TOLERANCE = 1e-4
"""Relative, and absolute for values below 1: arithmetic of batches of another size differs by less."""

LEAST_ROWS = 100
"""Rows that a share needs: of fewer, a single row is more than a hundredth."""


@dataclass(frozen=True)
class Skew:
    """rows: that were compared. shares: of rows whose logged value differs, by feature; empty with too few rows.

    other_history: rows whose user had other events at the request than the store has now, such as events that arrived
    late. They are not compared. gone: rows of items or users that the store no longer has.
    """

    rows: int = 0
    shares: Mapping[str, float] = field(default_factory=dict)
    other_history: int = 0
    gone: int = 0

    @property
    def alarms(self) -> list[str]:
        """The features with more than SKEW_SHARE, the most different first."""
        found = {name: share for name, share in self.shares.items() if share > SKEW_SHARE}
        return sorted(found, key=lambda name: -found[name])

    @property
    def sentence(self) -> str:
        """The result for people."""
        if not self.shares:
            return f"Features were not recomputed: {self.rows:,} rows could be, and {LEAST_ROWS} are needed."
        if not self.alarms:
            return f"Logged features of {self.rows:,} items equal those recomputed from the store."
        worst = ", ".join(f"{name} ({self.shares[name]:.1%})" for name in self.alarms)
        return f"Logged values differ from those recomputed from the store: {worst}."


def skew_of(
    model: ReplayedModel, rows: pd.DataFrame, records: Sequence[bytes | None], events: Sequence[Sequence[Event]]
) -> Skew:
    """Compare rows of shown items, whose requests had no session and a store that answered.

    model: of the generation that served them. rows: as `training_slates.draw` returns them. records, events: of the
    user of each row.
    """
    expected = recomputed(model, rows, records, events)
    columns = columns_of(names(model.generation.spec))
    logged = rows[columns].to_numpy(np.float32)
    known = np.isfinite(expected).all(axis=1)
    same = known & _same_history(logged, expected)
    differs = ~_alike(logged[same], expected[same])
    shares = {}
    if same.sum() >= LEAST_ROWS:
        found_shares = zip(columns, differs.mean(axis=0).tolist(), strict=True)
        shares = {column: share for column, share in found_shares if column not in NOT_RECOMPUTED}
    return Skew(int(same.sum()), shares, int((known & ~same).sum()), int((~known).sum()))


def recomputed(
    model: ReplayedModel, rows: pd.DataFrame, records: Sequence[bytes | None], events: Sequence[Sequence[Event]]
) -> F32:
    """The features of each row's item, as `skew_of` has them: [n, F], NaN for an item that is not shown."""
    queries = [
        model.query(user, 1, now, UserRecord.unpack(record), [event for event in since if event.timestamp <= now])
        for user, now, record, since in zip(rows["user_id"], rows["asked"], records, events, strict=True)
    ]
    for query, text in zip(queries, rows["context"].fillna("{}"), strict=True):
        query.context = model.generation.spec.encode_context(json.loads(text))
    items, flags = rows["item_id"].tolist(), {each.name: each.flag for each in SOURCES}
    sources = [sum(flags.get(name, 0) for name in text.split(",")) for text in rows["sources"]]
    batches = (slice(start, start + BATCH) for start in range(0, len(rows), BATCH))
    found = [model.features_of(queries[some], items[some], sources[some]) for some in batches]
    return np.concatenate([np.zeros((0, width(model.generation.tables)), np.float32), *found])


def _same_history(logged: F32, expected: F32) -> Bool:
    """Which rows were logged with the history that the store has now: [n].

    Its length says so. A history of HISTORY_LENGTH keeps its length with one event more, and then the times of the
    newest events say so.
    """
    length, *newest = (FEATURES.index(name) for name in ("history_length", "wait", "gap"))
    full = expected[:, length] >= np.log1p(HISTORY_LENGTH) - TOLERANCE
    alike = _alike(logged, expected)
    same: Bool = alike[:, length] & (~full | alike[:, newest].all(axis=1))
    return same


def _alike(logged: F32, expected: F32) -> Bool:
    return np.isclose(logged, expected, rtol=TOLERANCE, atol=TOLERANCE)

"""Compute the record that a generation stores for each user: history, seen items, and precomputed recommendations.

A generation is one trained set of models and tables, which servers load.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from recsys.model.ranker import RankerNet
from recsys.types import I32, I64, PAD, Bool
from training.encode.interaction_log import Log, user_record
from training.fit.first_stage import FirstStage
from training.judge.replay import ReplayedModel
from training.processes.engine import LOCAL, Engine
from training.progress import StepProgress, no_step

CHUNK = 256
"""Users scored at once."""

PART = 2_048
"""Users of a part: some 2.5 MB of records."""


class RecordWork(NamedTuple):
    """What the records are computed from. net: of the ranker. precomputed: candidates of a user."""

    log: Log
    stage: FirstStage
    net: RankerNet
    precomputed: int


def packed_records(work: RecordWork, progress: StepProgress = no_step, engine: Engine = LOCAL) -> Iterator[bytes]:
    """The packed `UserRecord` of each user, in the order of `log.user_ids`."""
    users = range(len(work.log.user_ids))
    parts = [users[start : start + PART] for start in users[::PART]]
    _ = work.log.by_user, work.log.recent_events  # computed once, before they are shared
    for records in engine.map_shared(_records, work, parts, progress):
        yield from records


def _records(work: RecordWork, users: range) -> list[bytes]:
    """The packed records of some users."""
    log, stage, net, precomputed = work
    model, (order, offsets), packed = ReplayedModel.of(log, stage, net, log), log.by_user, list[bytes]()
    for start in users[::CHUNK]:
        some = np.arange(start, min(start + CHUNK, users.stop))
        for user, candidates in zip(some, precompute(log, some, model, precomputed), strict=True):
            events = order[offsets[user] : offsets[user + 1]]
            packed.append(user_record(log, events, candidates[candidates != PAD]).pack())
    return packed


def precompute(log: Log, users: I64, model: ReplayedModel, k: int) -> I32:
    """The k best items of the two stages after all events of `users`: [B, k] int32, best first, PAD on the right."""
    if not k:
        return np.zeros((len(users), 0), np.int32)
    candidates, scores = model.ranked(log.final_histories(users))
    if log.exclude_seen.excludes:
        scores[_hidden(log, users, candidates.items)] = -np.inf
    order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    best = np.take_along_axis(candidates.items, order, axis=1)
    return np.where(np.isfinite(np.take_along_axis(scores, order, axis=1)), best, PAD).astype(np.int32)


def _hidden(log: Log, users: I64, items: I32) -> Bool:
    """The items [B, K] that `exclude_seen` hides from their user at the log's end."""
    row, seen = log.seen_by(users)
    width = len(log.catalogue) + 1
    hidden: Bool = np.isin(items + np.arange(len(users), dtype=np.int64)[:, None] * width, seen + row * width)
    return hidden

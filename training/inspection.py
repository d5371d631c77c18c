"""Look at a tested model as the metrics can't: how sure its ranker is, and what some users would have been shown."""

from __future__ import annotations

import numpy as np

from recsys.ranker import Ranker
from recsys.types import F32, HISTORY_LENGTH, I64, PAD, Bool
from training.evaluate import CELLS, CHUNK
from training.evaluation import K
from training.first_stage import FirstStage
from training.glimpse import BINS, Glimpse, Scores, Slate
from training.log import Log
from training.rows import two_stage
from training.split import Split

QUERIES = 1_000
"""Test queries whose scores are counted: two seconds, and a share of .1 is known to .01."""

SLATES, TITLES = 10, 8
"""Users shown, and the newest titles of each one's history."""

EVEN = 1e-6
"""Scores closer than this to each other say nothing: float32 keeps seven digits."""


def look(split: Split, stage: FirstStage, ranker: Ranker, seed: int = 0) -> Glimpse:
    """The spread of scores over a seeded sample of the test queries, and the slates of ten users drawn from it."""
    rng = np.random.default_rng(seed)
    events = rng.permutation(split.test)[:QUERIES]
    _, first = np.unique(split.log.users[events], return_index=True)
    shown = set(np.sort(first)[:SLATES].tolist())
    counts, slates = np.zeros(BINS + 2, np.int64), list[Slate]()
    rows = max(1, min(CHUNK, CELLS // max(len(stage.tables), 1)))
    for start in range(0, len(events), rows):
        chunk = events[start : start + rows]
        scores = two_stage(split.log.histories(chunk, HISTORY_LENGTH), stage.retriever, ranker, len(stage.tables))
        counts += count(scores)
        chosen = [row for row in range(len(chunk)) if start + row in shown]
        if chosen:
            slates += read_slates(split.log, chunk[chosen], scores[chosen], stage)
    *histogram, constant, broken = (int(n) for n in counts)
    return Glimpse(Scores(len(events), tuple(histogram), constant, broken), tuple(slates))


def count(scores: F32) -> I64:
    """Queries in each bar of the histogram, then those with even scores, then those with broken ones: [BINS + 2].

    scores: [B, n] float32, -inf for what is no candidate. A query without candidates counts as broken.
    """
    real = np.isfinite(scores)
    broken = np.isnan(scores).any(axis=1) | np.isposinf(scores).any(axis=1) | ~real.any(axis=1)
    kept, where = scores[~broken].astype(np.float64), real[~broken]
    top = kept.max(axis=1, keepdims=True, initial=-np.inf)
    bottom = np.where(where, kept, np.inf).min(axis=1, initial=np.inf)
    even = (top[:, 0] - bottom < EVEN) & (where.sum(axis=1) > 1)
    mass = np.exp(kept - top)
    first = np.sort(mass, axis=1)[:, -K:].sum(axis=1) / mass.sum(axis=1)
    bars = np.bincount((first * BINS).astype(np.int64).clip(0, BINS - 1), minlength=BINS)
    return np.concatenate([bars, [even.sum(), broken.sum()]]).astype(np.int64)


def read_slates(log: Log, events: I64, scores: F32, stage: FirstStage) -> list[Slate]:
    """The slates of some test events from their scores [B, n], with the names a person knows."""
    hidden: Bool = np.broadcast_to(~stage.tables.available, scores.shape).copy()
    if stage.exclude_seen:
        hidden[log.seen_before(events)] = True
    scores = np.where(hidden, -np.inf, scores)
    histories = log.histories(events).items
    slates = []
    for event, row, history in zip(events, scores, histories, strict=True):
        order = np.argsort(-row, kind="stable")[:K]
        order = order[np.isfinite(row[order])]
        past, target = history[history != PAD], int(log.items[event])
        before = int((log.users[:event] == log.users[event]).sum())
        slates.append(
            Slate(
                user=str(log.user_ids[log.users[event]]),
                history=tuple(name(log, item) for item in past[-TITLES:]),
                events=before,
                shown=tuple(name(log, item) for item in order),
                target=name(log, target),
                place=int(np.flatnonzero(order == target)[0]) if target in order else None,
            )
        )
    return slates


def name(log: Log, item: int) -> str:
    """An item's title, or its id where it has none."""
    return log.catalogue.titles[int(item)] or str(log.catalogue.ids[int(item)])

"""Plain numpy and torch versions of the ranker's features and the user model, to check the compiled code against.

Tests and benchmarks alone use them. The kernels in `recsys.kernels` compute the same values for a request.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch

from recsys.generation.item_tables import ItemTables
from recsys.kernels import time_features
from recsys.kernels.feature_kernels import ALIKE, COVISIT_DECAYS, EASE_DECAYS, FOLLOW_DECAYS, VOTE_SCALE
from recsys.kernels.query_features import ALIKE_WITHIN
from recsys.kernels.recent_events import DELAY, NO_EVENTS, RecentEvents
from recsys.model.context_lift import table_columns
from recsys.model.feature_spec import NO_TOKEN
from recsys.model.features import SETTINGS, width
from recsys.model.neighbour_tables import RECENT, Neighbours
from recsys.model.towers import EmbeddedHistory, UserTower
from recsys.types import CANDIDATES, CLOCK, F32, I32, PAD, U8, U16, Candidates, Histories


@torch.inference_mode()
def encode(tower: UserTower, embeddings: F32, histories: Histories) -> F32:
    """The embeddings [B, d] of B users, as `recsys.model.user_encoder.UserEncoder.encode` computes them."""
    real = histories.items != PAD
    items = embeddings[histories.items.clip(min=0)] * real[..., None]
    types = np.minimum(histories.types, tower.types.num_embeddings - 1).astype(np.int64)
    past = EmbeddedHistory(*map(torch.from_numpy, (items, real, types, time_features.gaps(histories))))
    asked = torch.from_numpy(time_features.waits(histories)), torch.from_numpy(histories.context.astype(np.int64))
    users: F32 = tower(past, *asked).numpy()
    return users


def build(tables: ItemTables, histories: Histories, candidates: Candidates, recent: RecentEvents = NO_EVENTS) -> F32:
    """Features of every candidate: [B, K, F] float32, zero where the candidate is PAD."""
    features = np.zeros((*candidates.items.shape, width(tables)), np.float32)
    waits, gaps = time_features.waits(histories), time_features.gaps(histories)[:, -1]
    for row in range(len(candidates)):
        count = int((candidates.items[row] != PAD).sum())  # padded on the right
        if count:
            features[row, :count] = _of_one(
                tables,
                histories.items[row],
                histories.context[row],
                candidates.items[row, :count],
                candidates.tower[row, :count],
                candidates.sources[row, :count],
                (waits[row] / time_features.STEPS, gaps[row] / time_features.STEPS),
                _recent(recent, float(histories.now[row]), candidates.items[row, :count]),
            )
    return features


def _of_one(
    tables: ItemTables,
    history: I32,
    context: U8,
    items: I32,
    tower: F32,
    sources: U16,
    when: tuple[float, float],
    recent: F32,
) -> F32:
    """Features of one query's K candidates: [K, F]."""
    covisit = VOTE_SCALE * _votes(tables.covisit, history, items, COVISIT_DECAYS)
    follow = VOTE_SCALE * _votes(tables.follow, history, items, FOLLOW_DECAYS)
    ease = _votes(tables.ease, history, items, EASE_DECAYS)
    alike = _likeness(tables, history, items)
    columns = [
        tower,
        tower - tower.max(),
        _rank(tower),
        *np.log1p(covisit),
        covisit[-1] / max(covisit[-1].max(), np.float32(1e-6)),
        _rank(covisit[-1]),
        *np.log1p(follow),
        *ease,
        _rank(ease[-2]),
        *alike[:, :ALIKE].T,
        alike.max(axis=1),
        alike.mean(axis=1),
        *_popularity(tables, items),
        np.log1p(tables.age[items]),
        *_affinity(tables, (history, history[-1:]), items),
        *_repeats(history, items),
        np.log1p(np.float32((history != PAD).sum())),
        *when,
        *_lifts(tables, context, items),
        *np.log1p(recent),
        *((sources & flag) != 0 for flag in SETTINGS.flags),
        *_own(tables, history, items),
    ]
    return np.stack(np.broadcast_arrays(*columns), axis=1).astype(np.float32)


def _popularity(tables: ItemTables, items: I32) -> list[F32]:
    """Logs of the counts of each window, the rank by the last, and the momentum."""
    logs = np.log1p(tables.popularity[items])
    return [*logs.T, _rank(tables.popularity[items, 3]), logs[:, 2] - logs[:, 1]]


def _rank(scores: F32) -> F32:
    """Log of one more than the place of each score, best first; equal scores in their order."""
    rank = np.empty(len(scores), np.float32)
    rank[np.argsort(-scores, kind="stable")] = np.arange(len(scores), dtype=np.float32)
    return np.log1p(rank)


def _likeness(tables: ItemTables, history: I32, items: I32) -> F32:
    """Inner products with the newest ALIKE_WITHIN history items, newest first, 0 for a missing item: [K, 20]."""
    recent = history[-ALIKE_WITHIN:][::-1]
    past = tables.embeddings[recent] * (recent != PAD)[:, None]
    # One shape for any K: the order of the sums of a matrix product depends on its shape.
    wide = np.zeros((CANDIDATES, past.shape[1]), np.float32)
    wide[: len(items)] = tables.embeddings[items]
    alike = np.zeros((len(items), ALIKE_WITHIN), np.float32)
    alike[:, : len(recent)] = (wide @ past.T)[: len(items)]
    return alike


def _affinity(tables: ItemTables, histories: tuple[I32, ...], items: I32) -> list[F32]:
    """Share of each history's content tokens that a candidate's tokens cover, averaged over its tokens: [K] each."""
    content = tables.content[items]
    tokens_of = np.maximum((content != NO_TOKEN).sum(axis=1), 1)
    found = []
    for history in histories:
        tokens = tables.content[history[history != PAD]]
        liked, count = np.unique(tokens[tokens != NO_TOKEN], return_counts=True)
        share = np.zeros(tables.vocabulary, np.float32)
        share[liked] = count / max(count.sum(), 1)
        found.append((share[content].sum(axis=1) / tokens_of).astype(np.float32))
    return found


def _votes(table: Neighbours, history: I32, candidates: I32, decays: tuple[float, ...]) -> F32:
    """The votes of the newest items of one history [H] for K distinct candidates, by decay: [len(decays), K]."""
    scores = np.zeros((len(decays), len(candidates)), np.float32)
    recent = history[-RECENT:][::-1]
    steps = np.flatnonzero((recent != PAD) & (recent < len(table)))
    voters = recent[steps]
    if not len(voters) or not table.width:
        return scores
    place = np.zeros(max(len(table), int(candidates.max()) + 1) + 1, np.int16)  # the last place is PAD's
    place[candidates] = np.arange(1, len(candidates) + 1)
    place[-1] = 0
    hit = place[table.rows[voters]]
    voter, column = np.nonzero(hit)
    named, weight = hit[voter, column] - 1, table.weights[voters[voter], column]
    for index, decay in enumerate(decays):
        powers = decay ** steps.astype(np.float32)[voter]
        scores[index] = np.bincount(named, weight * powers, minlength=len(candidates))
    return scores


def _repeats(history: I32, candidates: I32) -> tuple[F32, F32]:
    """How often each candidate is in one history [H], and .9 to the steps since the last time: both [K]."""
    past = history[history != PAD][::-1]
    items, first, count = np.unique(past, return_index=True, return_counts=True)
    if not len(items):
        return np.zeros(len(candidates), np.float32), np.zeros(len(candidates), np.float32)
    at = np.minimum(np.searchsorted(items, candidates), len(items) - 1)
    known = items[at] == candidates
    times = np.where(known, count[at], 0).astype(np.float32)
    recency = np.where(known, np.float32(0.9) ** first[at].astype(np.float32), np.float32(0))
    return times, recency


def _lifts(tables: ItemTables, context: U8, items: I32) -> F32:
    """Day part, weekend, and the mean of the known columns: [3, K]."""
    lift = tables.context_lift
    columns = table_columns(context, lift.starts)
    known = columns >= 0
    lifts = np.zeros((len(columns), len(items)), np.float32)
    old = items < len(lift)
    lifts[np.ix_(known, old)] = lift.table[items[old], columns[known, None]]
    mean = lifts[CLOCK:].sum(axis=0) / np.float32(max(known[CLOCK:].sum(), 1))
    return np.stack([*lifts[:CLOCK], mean])


def _recent(recent: RecentEvents, now: float, items: I32) -> F32:
    """Events of each candidate in the last 10 and 60 full minutes and in the last 24 full hours: [3, K]."""
    found = np.zeros((3, len(items)), np.float32)
    for row, (events, step, steps) in enumerate([(recent[0], 1, 10), (recent[0], 1, 60), (recent[1], 60, 24)]):
        end = int((now - DELAY) // (60 * step)) * step
        within = (events.minutes >= end - step * steps) & (events.minutes < end)
        of_item = np.repeat(np.arange(len(events.starts) - 1), np.diff(events.starts))
        counted = np.bincount(of_item[within], np.diff(events.totals)[within], int(items.max()) + 1)
        found[row] = counted[items]
    return found


def _own(tables: ItemTables, history: I32, items: I32) -> Iterator[F32]:
    """Each own column, and its difference to the mean over one history [H]: [K] each."""
    past = history[history != PAD]
    for column, known in zip(tables.own[items].T, tables.own[past].T.astype(np.float64), strict=True):
        yield column
        yield (column - known.mean()).astype(np.float32) if len(past) else np.zeros(len(items), np.float32)

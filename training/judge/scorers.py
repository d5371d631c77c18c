"""The scorers that an evaluation compares, functions that score every item: the baselines, the towers, the candidate
sources together, and the served model.

The served model has two stages: sources retrieve candidates, and the ranker orders them. The towers, the networks that
turn a user's history and an item into vectors, are one source.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np

from recsys.kernels import time_features
from recsys.model.ranker import RankerNet
from recsys.retrieval.retriever import Retriever
from recsys.types import CLOCK, F32, PAD, Histories
from training.encode.interaction_log import Log
from training.encode.split import Split
from training.fit.first_stage import FirstStage
from training.fit.item_tables import popularity, recency_popularity
from training.fit.neighbours import DECAY, Ease
from training.judge.baselines import Ials, ItemKnn, frequent_items, newest_items
from training.judge.metric_table import EVENT_BEFORE, SERVED, TOWER
from training.judge.ranking import Score, Scorers, ScorersAt, SourceUnion
from training.judge.replay import ReplayedModel
from training.progress import StepProgress, no_step
from training.rank.fit_ranker import RankerFit

EASE_REGULARIZATION = 300.0
"""Recall@10 on MovieLens 1M, leave one out, is .223, and .215 with 100."""

DEPTH = 200
"""Items that each source returns for `union`: the largest cut-off of the table."""


def baselines(
    log: Log, threads: int, seed: int, progress: StepProgress = no_step
) -> tuple[dict[str, Score], list[str]]:
    """The baselines, fitted on what is not revoked in `log`, and a sentence for each baseline that is left out."""
    log = log.without_revoked()
    fits: dict[str, Callable[[], Score]] = {
        "item_knn": lambda: ItemKnn(log).score,
        "ease_decay": lambda: Ease(log, EASE_REGULARIZATION).score,
        "ials": lambda: Ials(log, threads, seed).score,
    }
    left_out = []
    if not Ials.installed():
        del fits["ials"]
        left_out.append("Not compared with ials: the package `implicit` is missing, which `make test` installs.")
    fitted = counted_baselines(log)
    for done, (name, fit) in enumerate(fits.items()):
        progress(done / len(fits), name)
        fitted[name] = fit()
    return fitted, left_out


def counted_baselines(log: Log) -> dict[str, Score]:
    """The baselines that are counts of what is not revoked in `log`, fast enough to count for each day."""
    log = log.without_revoked()
    n, recent = len(log.catalogue), recency_popularity(log)
    counted: dict[str, Score] = {
        "popularity": same_for_all(popularity(log)),
        "recency_popularity": same_for_all(recent),
    }
    if not log.exclude_seen.everything:
        counted |= {
            "newest_items": lambda histories: newest_items(histories, n, recent),
            "frequent_items": lambda histories: frequent_items(histories, n, recent),
            "frequent_decayed": lambda histories: frequent_items(histories, n, recent, DECAY),
        }
    return counted


def scorers_at(
    parts: Split, stage: FirstStage, fit: RankerFit, fitted: Mapping[str, Score], event_before: bool = False
) -> ScorersAt:
    """The baselines, the stages and the served model over the item tables of a moment.

    stage: of the events before the test. fitted: the baselines, of which those that are counts are counted again.
    event_before: the stages a second time, each query at the time of the user's newest event.
    """

    def at(cut: float) -> Scorers:
        known = parts.known_to_test(cut)
        dated = stage.recounted(known)
        shown = stages(dated, ReplayedModel.of(known, dated, fit.net, parts.log))
        moved = at_event_before(shown) if event_before else {}
        other: dict[str, Score | SourceUnion] = {}
        if fit.other is not None and fit.impressions is not None:  # the ranker that does not serve
            other[fit.impressions.other] = ReplayedModel.of(known, dated, fit.other, parts.log).scores
        return {**fitted, **counted_baselines(known), **shown, **moved, **other}

    return at


def served_at(parts: Split, stage: FirstStage, net: RankerNet) -> Callable[[float], Score]:
    """The served model alone over the item tables of a moment. stage: of the events before the test."""

    def at(cut: float) -> Score:
        known = parts.known_to_test(cut)
        return ReplayedModel.of(known, stage.recounted(known), net, parts.log).scores

    return at


def stages(stage: FirstStage, model: ReplayedModel) -> dict[str, Score | SourceUnion]:
    """The served model, and before it the towers alone and the candidate sources without a ranker."""
    embeddings = stage.tables.embeddings
    n_items = len(embeddings)
    return {
        TOWER: lambda histories: stage.encoder.encode(histories) @ embeddings.T,
        "union": SourceUnion(lambda histories: union(histories, model.retriever, n_items)),
        SERVED: model.scores,
    }


def at_event_before(scorers: Mapping[str, Score | SourceUnion]) -> dict[str, Score | SourceUnion]:
    """The scorers that order items, with each query at the time of the user's newest event; named with EVENT_BEFORE."""

    def moved(score: Score) -> Score:
        return lambda histories: score(at_newest_event(histories))

    return {f"{name}{EVENT_BEFORE}": moved(each) for name, each in scorers.items() if not isinstance(each, SourceUnion)}


def at_newest_event(histories: Histories) -> Histories:
    """The histories with each query at the time of its newest event. A query without an event keeps its own time."""
    now = np.where(histories.items[:, -1] != PAD, histories.times[:, -1], histories.now)
    context, clock = histories.context.copy(), histories.context[:, :CLOCK]
    context[:, :CLOCK] = np.where(clock > 0, time_features.clock(now), 0)
    return replace(histories, now=now, context=context)


def same_for_all(scores: F32) -> Score:
    """A scorer with the same scores for each history."""
    return lambda histories: np.tile(scores, (len(histories), 1))


def union(histories: Histories, retriever: Retriever, n_items: int) -> F32:
    """Minus the best place that any source gives an item, -inf for an item that no source returns: [B, n] float32."""
    scores = np.full((len(histories), n_items + 1), -np.inf, np.float32)
    for items in retriever.each_source(histories, DEPTH).values():
        user = np.broadcast_to(np.arange(len(items))[:, None], items.shape)
        place = np.broadcast_to(-np.arange(items.shape[1], dtype=np.float32), items.shape)
        np.maximum.at(scores, (user, items), place)  # PAD is the last column
    return scores[:, :-1]

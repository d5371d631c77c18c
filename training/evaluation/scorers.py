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
from recsys.model.ranker import Ranker
from recsys.retrieval.retriever import Retriever
from recsys.types import CLOCK, F32, PAD, Candidates, Histories
from training.data.interaction_log import Log
from training.evaluation.baselines import (
    DECAY,
    Ease,
    Ials,
    ItemKnn,
    frequent_items,
    newest_items,
    popularity,
    recency_popularity,
)
from training.evaluation.metric_table import EVENT_BEFORE, SERVED, TOWER
from training.evaluation.ranking import Score, SourceUnion
from training.evaluation.split import Split
from training.progress import StepProgress, no_step
from training.ranker.fit_ranker import RankerFit
from training.retrieval_stage import FirstStage

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
        "popularity": lambda: same_for_all(popularity(log)),
        "recency_popularity": lambda: same_for_all(recency_popularity(log)),
        "item_knn": lambda: ItemKnn(log).score,
        "ease_decay": lambda: Ease(log, EASE_REGULARIZATION).score,
        "ials": lambda: Ials(log, threads, seed).score,
    }
    if not log.exclude_seen.everything:
        n, recent = len(log.catalogue), recency_popularity(log)
        fits |= {
            "newest_items": lambda: lambda histories: newest_items(histories, n, recent),
            "frequent_items": lambda: lambda histories: frequent_items(histories, n, recent),
            "frequent_decayed": lambda: lambda histories: frequent_items(histories, n, recent, DECAY),
        }
    left_out = []
    if not Ials.installed():
        del fits["ials"]
        left_out.append("Not compared with ials: the package `implicit` is missing, which `make test` installs.")
    fitted: dict[str, Score] = {}
    for name, fit in fits.items():
        progress(len(fitted) / len(fits), name)
        fitted[name] = fit()
    return fitted, left_out


def stages(stage: FirstStage, ranker: Ranker) -> dict[str, Score | SourceUnion]:
    """The served model, and before it the towers alone and the candidate sources without a ranker."""
    embeddings = stage.tables.embeddings
    n_items = len(embeddings)
    return {
        TOWER: lambda histories: stage.encoder.encode(histories) @ embeddings.T,
        "union": SourceUnion(lambda histories: union(histories, stage.retriever, n_items)),
        SERVED: lambda histories: two_stage(histories, stage.retriever, ranker, n_items),
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


def other_ranker(parts: Split, stage: FirstStage, fit: RankerFit) -> dict[str, Score | SourceUnion]:
    """The two stages with the ranker that does not serve, with impressions or without; nothing if there is none."""
    if fit.other is None or fit.impressions is None:
        return {}
    ranker, n_items = stage.ranker(fit.other, parts.log), len(stage.tables)
    return {fit.impressions.other: lambda histories: two_stage(histories, stage.retriever, ranker, n_items)}


def same_for_all(scores: F32) -> Score:
    """A scorer with the same scores for each history."""
    return lambda histories: np.tile(scores, (len(histories), 1))


def two_stage(histories: Histories, retriever: Retriever, ranker: Ranker, n_items: int) -> F32:
    """The ranker's scores of the retrieved candidates, -inf for all other items: [B, n] float32."""
    candidates = retriever.retrieve(histories)
    return scores_of_all(candidates, ranker.score(histories, candidates), n_items)


def union(histories: Histories, retriever: Retriever, n_items: int) -> F32:
    """Minus the best place that any source gives an item, -inf for an item that no source returns: [B, n] float32."""
    scores = np.full((len(histories), n_items + 1), -np.inf, np.float32)
    for items in retriever.each_source(histories, DEPTH).values():
        user = np.broadcast_to(np.arange(len(items))[:, None], items.shape)
        place = np.broadcast_to(-np.arange(items.shape[1], dtype=np.float32), items.shape)
        np.maximum.at(scores, (user, items), place)  # PAD is the last column
    return scores[:, :-1]


def scores_of_all(candidates: Candidates, scores: F32, n_items: int) -> F32:
    """Scores of candidates [B, K] as scores of the catalogue: [B, n] float32, -inf for an item that is no candidate."""
    users, places = np.nonzero(candidates.items != PAD)
    wide = np.full((len(candidates), n_items), -np.inf, np.float32)
    wide[users, candidates.items[users, places]] = scores[users, places]
    return wide

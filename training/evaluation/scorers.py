"""The rows of a metric table: what has to be beaten, what we serve, and the stages it is made of, as scorers."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from recsys.model.ranker import Ranker
from recsys.retrieval.retriever import Retriever
from recsys.types import F32, PAD, Candidates, Histories
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
from training.evaluation.metric_table import SERVED
from training.evaluation.ranking import Reach, Score
from training.first_stage import FirstStage
from training.progress import Progress, no_progress

EASE_REGULARIZATION = 300.0
"""MovieLens 1M, leave one out: recall@10/@100 .223/.550, and .215/.496 with 100; MovieTweetings tells 30, 100 and 300
not apart (.092, .093, .093; one standard error .003)."""

DEPTH = 200
"""Items asked of each source: the largest cut-off of the table."""


def baselines(
    known: Log, threads: int, seed: int, progress: Progress = no_progress
) -> tuple[dict[str, Score], list[str]]:
    """The models to beat, fitted on what stands of `known`, and a sentence for each that is left out."""
    known = known.standing()
    fits: dict[str, Callable[[], Score]] = {
        "popularity": lambda: same_for_all(popularity(known)),
        "recency_popularity": lambda: same_for_all(recency_popularity(known)),
        "item_knn": lambda: ItemKnn(known).score,
        "ease_decay": lambda: Ease(known, EASE_REGULARIZATION).score,
        "ials": lambda: Ials(known, threads, seed).score,
    }
    if not known.exclude_seen.everything:
        n, recent = len(known.catalogue), recency_popularity(known)
        fits |= {
            "newest_items": lambda: lambda histories: newest_items(histories, n, recent),
            "frequent_items": lambda: lambda histories: frequent_items(histories, n, recent),
            "frequent_decayed": lambda: lambda histories: frequent_items(histories, n, recent, DECAY),
        }
    left_out = []
    if not Ials.installed():
        del fits["ials"]
        left_out.append("Not compared with ials: that takes the package `implicit`, which `make test` installs.")
    rows: dict[str, Score] = {}
    for name, fit in fits.items():
        progress(len(rows) / len(fits), name)
        rows[name] = fit()
    return rows, left_out


def stages(stage: FirstStage, ranker: Ranker) -> dict[str, Score | Reach]:
    """What we serve, and before it its towers alone and its sources without a ranker."""
    embeddings = stage.tables.embeddings
    n_items = len(embeddings)
    return {
        "tower": lambda histories: stage.encoder.encode(histories) @ embeddings.T,
        "union": Reach(lambda histories: union(histories, stage.retriever, n_items)),
        SERVED: lambda histories: two_stage(histories, stage.retriever, ranker, n_items),
    }


def same_for_all(scores: F32) -> Score:
    """A scorer that knows no users."""
    return lambda histories: np.tile(scores, (len(histories), 1))


def two_stage(histories: Histories, retriever: Retriever, ranker: Ranker, n_items: int) -> F32:
    """The ranker's scores of what retrieval found, -inf elsewhere: [B, n] float32."""
    candidates = retriever.retrieve(histories)
    return spread(candidates, ranker.score(histories, candidates), n_items)


def union(histories: Histories, retriever: Retriever, n_items: int) -> F32:
    """Minus the best place any source gives an item: recall@N is that of all sources asked for N items each."""
    scores = np.full((len(histories), n_items + 1), -np.inf, np.float32)
    for items in retriever.each_source(histories, DEPTH).values():
        user = np.broadcast_to(np.arange(len(items))[:, None], items.shape)
        place = np.broadcast_to(-np.arange(items.shape[1], dtype=np.float32), items.shape)
        np.maximum.at(scores, (user, items), place)  # PAD is the last column
    return scores[:, :-1]


def spread(candidates: Candidates, scores: F32, n_items: int) -> F32:
    """Scores of candidates [B, K] as scores of the whole catalogue: [B, n] float32, -inf where there is none."""
    users, places = np.nonzero(candidates.items != PAD)
    wide = np.full((len(candidates), n_items), -np.inf, np.float32)
    wide[users, candidates.items[users, places]] = scores[users, places]
    return wide

"""Whether a generation's items are searched by clusters: decided on the users of the log when the generation is made.

Exact search is the default. Where the dataset sets `search = "near"`, clusters are taken if those nearest to a user
hold nearly all of the best items and few of all items. Both are counts: one log and one seed give one decision on any
host.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from recsys.generation.item_tables import ItemTables
from recsys.retrieval.cluster_search import NearIndex
from recsys.retrieval.clusters import Clusters
from recsys.retrieval.index import ExactIndex
from recsys.types import CANDIDATES, F32, I32, Histories
from training.data.interaction_log import Log
from training.first_stage import FirstStage
from training.progress import Progress, no_progress
from training.tables.clustering import clustered

TOP, RECALL = 200, 0.98
"""Of the best so many, the share that has to be found."""

READ = 0.015
"""Share of the items that a search by clusters may read, centres included: there it takes an eighth to a fifth of the
CPU of exact search among a million and 300,000 items, and a quarter among 250,000 (docs/decisions.md, 2026-11-30)."""

SOME = 512
"""Users of the log whose best items are compared."""

CLUSTERING = 0.75
"""The share of the whole time that clustering takes, with a million items."""

ROUNDING = 1e-9
"""By which a mean of shares may seem to fall short."""


@dataclass(frozen=True)
class Choice:
    """What was chosen, None for exact search; and a sentence that says why."""

    clusters: Clusters | None
    sentence: str


@dataclass(frozen=True)
class Asked:
    """Whose best are looked for: some users [B, d], and one who is new [1, d]."""

    users: F32
    new: F32

    @classmethod
    def of(cls, log: Log, stage: FirstStage, seed: int) -> Asked:
        """Some of the log's users after all that they did, drawn by lot."""
        count = len(log.user_ids)
        users = np.sort(np.random.default_rng(seed).choice(count, min(SOME, count), replace=False))
        histories = log.final_histories(users), Histories.empty(np.array([log.end]))
        return cls(*map(stage.encoder.encode, histories))


def choose(tables: ItemTables, asked: Asked, seed: int, progress: Progress = no_progress) -> Choice:
    """The fewest clusters that hold RECALL of the best items within READ of all items, or none."""
    shown, items = int(tables.available.sum()), len(tables)
    count = min(int(4 * items**0.5), items)
    least = least_probes(count, shown)
    if read(least, count, items) > READ:
        return Choice(None, f"Searched exactly: clusters of so few items ({shown:,}) can't pay.")
    parts = clustered(tables.embeddings, count, seed, lambda share, word: progress(CLUSTERING * share, word))
    progress(CLUSTERING, "what they find")
    exact = ExactIndex(tables.embeddings, tables.available, tables.rounded)
    near = NearIndex(tables.embeddings, tables.available, tables.rounded, Clusters(*parts, probes=least))
    return _judged(exact, near, asked, items)


def _judged(exact: ExactIndex, near: NearIndex, asked: Asked, items: int) -> Choice:
    """The first of the settings that finds enough; none where all find too little."""
    everybody = {"users": asked.users, "somebody new": asked.new}
    best = {who: exact.search(vectors, TOP) for who, vectors in everybody.items()}
    for one in _wider(near, items):
        found = {who: recall(one.search(vectors, TOP), best[who]) for who, vectors in everybody.items()}
        shares = ", ".join(f"{_percent(share)} of those for {who}" for who, share in found.items())
        probes, count = one.clusters.probes, len(one.clusters)
        part = f"{100 * read(probes, count, items):.2g}%"
        told = f"of the best {TOP} items {probes:,} of {count:,} clusters find {shares}, reading {part} of all items"
        if min(found.values()) >= RECALL - ROUNDING:
            return Choice(one.clusters, f"Searched by clusters: {told}.")
    needed = f"{_percent(RECALL)} within {_percent(READ)} of all items are needed"
    return Choice(None, f"Searched exactly: {told}, and {needed}.")


def _wider(near: NearIndex, items: int) -> Iterator[NearIndex]:
    """Through twice as many clusters each time, as long as READ allows."""
    while read(near.clusters.probes, len(near.clusters), items) <= READ:
        yield near
        near = near.through(2 * near.clusters.probes)


def read(probes: int, clusters: int, items: int) -> float:
    """The share of the items that a search reads on average: all centres, and the items of the probed clusters."""
    return clusters / items + probes / clusters


def least_probes(clusters: int, items: int) -> int:
    """So many of the clusters of so many items as hold CANDIDATES, on average: a power of two."""
    return 1 << (CANDIDATES * clusters // max(items, 1)).bit_length()


def _percent(share: float) -> str:
    """Never more than it is: what falls short of a limit is not told to be there."""
    return f"{math.floor(1000 * (share + ROUNDING)) / 10:g}%"


def recall(found: I32, best: I32) -> float:
    """Share of the best [B, K] that was found [B, K]."""
    return float(np.mean([np.isin(of, mine).mean() for of, mine in zip(best, found, strict=True)]))

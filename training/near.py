"""Whether a generation's items are searched by clusters: measured on its own users before it has any.

Exact search is the default. Where the dataset asks for `search = "near"`, clusters are taken if looking through some of
them finds nearly all of the best and is several times as fast; else the generation is searched exactly, and says why.
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch

from recsys.clusters import Clusters
from recsys.index import ExactIndex
from recsys.near import NearIndex
from recsys.tables import ItemTables
from recsys.types import CANDIDATES, F32, I32, Histories
from training.clustering import clustered
from training.first_stage import FirstStage
from training.log import Log
from training.watch import Progress, no_progress

TOP, RECALL = 200, 0.98
"""Of the best so many, the share that has to be found."""

TIMES = 5.0
"""How many times as fast it has to be, for a user alone and for BATCH at once: less is not worth what is not found."""

SOME, BATCH, TURNS = 512, 32, 5
"""Users that are asked for; how many of them at once; how often each way is timed, beside the other."""

CLUSTERING = 0.75
"""The share of the whole time that clustering takes, with a million items."""

ROUNDING = 1e-9
"""By which a mean of shares may seem to fall short."""

Search = Callable[[F32], I32]


@dataclass(frozen=True)
class Choice:
    """What was chosen, None for exact search; and a sentence for people."""

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
    """Clusters that find enough of the best fast enough, or none."""
    shown = int(tables.available.sum())
    count = min(int(4 * len(tables) ** 0.5), len(tables))
    least = least_probes(count, shown)
    if 2 * least > count:
        return Choice(None, f"Searched exactly: clusters of so few items ({shown:,}) can't pay.")
    parts = clustered(tables.embeddings, count, seed, lambda share, word: progress(CLUSTERING * share, word))
    progress(CLUSTERING, "what they find")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as who serves has it
    try:
        exact = ExactIndex(tables.embeddings, tables.available, tables.rounded)
        near = NearIndex(tables.embeddings, tables.available, tables.rounded, Clusters(*parts, probes=least))
        return _judged(exact, near, asked)
    finally:
        torch.set_num_threads(threads)


def _judged(exact: ExactIndex, near: NearIndex, asked: Asked) -> Choice:
    """Of those that are tried, the least clusters that find enough, if they are fast enough."""
    everybody = {"users": asked.users, "somebody new": asked.new}
    best = {who: exact.search(vectors, TOP) for who, vectors in everybody.items()}
    for one in _wider(near):
        found = {who: recall(one.search(vectors, TOP), best[who]) for who, vectors in everybody.items()}
        if enough := min(found.values()) >= RECALL - ROUNDING:
            break
    shares = ", ".join(f"{_percent(share)} of those for {who}" for who, share in found.items())
    told = f"{one.clusters.probes:,} of {len(one.clusters):,} clusters find {shares}"
    if not enough:
        return Choice(None, f"Searched exactly: of the best {TOP} items {told}, and {_percent(RECALL)} are asked for.")
    all_items, near_items = (partial(index.search, k=CANDIDATES) for index in (exact, one))
    ratio = min(times(all_items, near_items, asked.users, batch) for batch in (1, BATCH))
    told = f"of the best {TOP} items {told}, {math.floor(10 * ratio) / 10:g} times as fast as all items"
    if ratio < TIMES:
        return Choice(None, f"Searched exactly: {told}, and {TIMES:g} times are asked for.")
    return Choice(one.clusters, f"Searched by clusters: {told}.")


def _wider(near: NearIndex) -> Iterator[NearIndex]:
    """Through twice as many clusters each time, and half of them at most."""
    while True:
        yield near
        if 4 * near.clusters.probes > len(near.clusters):
            return
        near = near.through(2 * near.clusters.probes)


def least_probes(clusters: int, items: int) -> int:
    """So many of the clusters of so many items as hold CANDIDATES, on average: a power of two."""
    return 1 << (CANDIDATES * clusters // max(items, 1)).bit_length()


def _percent(share: float) -> str:
    """Never more than it is: what falls short of a limit is not told to be there."""
    return f"{math.floor(1000 * (share + ROUNDING)) / 10:g}%"


def recall(found: I32, best: I32) -> float:
    """Share of the best [B, K] that was found [B, K]."""
    return float(np.mean([np.isin(of, mine).mean() for of, mine in zip(best, found, strict=True)]))


def times(one: Search, other: Search, users: F32, batch: int) -> float:
    """How many times the other's CPU one search takes for so many users at once, in turns; the median."""
    ratios = []
    for turn in range(TURNS):
        some = users[np.arange(turn * BATCH, (turn + 1) * BATCH) % len(users)]
        mine, theirs = (_seconds(search, some, batch) for search in (one, other))
        ratios.append(mine / max(theirs, 1e-9))
    return statistics.median(ratios)


def _seconds(search: Search, users: F32, batch: int) -> float:
    start = time.thread_time()
    for at in range(0, len(users), batch):
        search(users[at : at + batch])
    return time.thread_time() - start

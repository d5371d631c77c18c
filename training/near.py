"""Whether a generation's items are searched by clusters: measured on its own users and items before it has any.

Exact search is the default. Where the dataset asks for `search = "near"`, clusters are taken if looking through some of
them finds nearly all of the best and is several times as fast; else the generation is searched exactly, and says why.
"""

from __future__ import annotations

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
from recsys.types import CANDIDATES, F32, I32
from training.clustering import clustered
from training.watch import Progress, no_progress

TOP, RECALL = 200, 0.98
"""Of the best so many of a user, the share that has to be found."""

TIMES = 5.0
"""How many times as fast it has to be, for a user alone and for BATCH at once: less is not worth what is not found."""

USERS, BATCH, TURNS = 512, 32, 5
"""Users that are asked for; how many of them at once; how often each way is timed, beside the other."""

Search = Callable[[F32], I32]


@dataclass(frozen=True)
class Choice:
    """What was chosen, None for exact search; and a sentence for people."""

    clusters: Clusters | None
    sentence: str


def choose(tables: ItemTables, users: F32, seed: int, progress: Progress = no_progress) -> Choice:
    """Clusters that find enough of the best for users [B, d] fast enough, or none."""
    count = int(4 * len(tables) ** 0.5)
    least = 1 << int(CANDIDATES * count / len(tables)).bit_length()  # which hold as many items as are asked for
    clusters = Clusters(*clustered(tables.embeddings, count, seed, progress), probes=min(least, count))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as who serves has it
    try:
        exact = ExactIndex(tables.embeddings, tables.available, tables.rounded)
        near = NearIndex(tables.embeddings, tables.available, tables.rounded, clusters)
        return _judged(exact, near, users)
    finally:
        torch.set_num_threads(threads)


def _judged(exact: ExactIndex, near: NearIndex, users: F32) -> Choice:
    """The least clusters that find enough, if they are fast enough."""
    search, found = partial(exact.search, k=CANDIDATES), 0.0
    best = search(users)
    for one in _wider(near):
        found = recall(one.search(users, CANDIDATES), best)
        if found >= RECALL:
            break
    else:
        told = f"no half of the clusters finds {RECALL:.0%} of the best {TOP}: {found:.1%} at most"
        return Choice(None, f"Searched exactly: {told}.")
    ratio = min(times(search, partial(one.search, k=CANDIDATES), users, batch) for batch in (1, BATCH))
    of = one.clusters
    told = f"{of.probes} of {len(of):,} clusters find {found:.1%} of the best {TOP}, {ratio:.1f} times as fast"
    if ratio < TIMES:
        return Choice(None, f"Searched exactly: {told}, and {TIMES:g} times are asked for.")
    return Choice(of, f"Searched by clusters: {told} as all items.")


def _wider(near: NearIndex) -> Iterator[NearIndex]:
    """Through twice as many clusters each time, and half of them at most."""
    while True:
        yield near
        if 4 * near.clusters.probes > len(near.clusters):
            return
        near = near.through(2 * near.clusters.probes)


def recall(found: I32, best: I32) -> float:
    """Share of the TOP best [B, K] that is among as many found."""
    each = [np.isin(of[:TOP], mine[:TOP]).mean() for of, mine in zip(best, found, strict=True)]
    return float(np.mean(each))


def times(one: Search, other: Search, users: F32, batch: int) -> float:
    """How many times the other's CPU one search takes for so many users at once, in turns; the median."""
    ratios = []
    for turn in range(TURNS):
        some = np.roll(users, -turn * BATCH, axis=0)[:BATCH]
        mine, theirs = (_seconds(search, some, batch) for search in (one, other))
        ratios.append(mine / max(theirs, 1e-9))
    return statistics.median(ratios)


def _seconds(search: Search, users: F32, batch: int) -> float:
    start = time.thread_time()
    for at in range(0, len(users), batch):
        search(users[at : at + batch])
    return time.thread_time() - start

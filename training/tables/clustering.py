"""Clusters of embeddings by k-means whose centres are of length 1, since it is inner products that are searched by.

Dhillon and Modha, "Concept Decompositions for Large Sparse Text Data Using Clustering", Machine Learning 2001.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import normalize

from recsys.types import F32, I32, I64
from training.progress import Progress, no_progress

ROUNDS, SAMPLE = 10, 64
"""How often centres move, and of how many items each they are learned; faiss has 25 and 256, which takes ten times as
long."""

LAST = 4
"""The last step, over all items, takes as long as so many rounds."""

CELLS = 1 << 23
"""Inner products at once: 32 MiB."""


@torch.inference_mode()
def clustered(items: F32, count: int, seed: int, progress: Progress = no_progress) -> tuple[F32, I32, I64]:
    """So many clusters of items [n, d]: centres [C, d], rows [n] of one after the other, and where each starts [C + 1].

    At most as many clusters as there are items; a cluster may be empty.
    """
    rng = np.random.default_rng(seed)
    count = min(count, len(items))
    drawn = rng.choice(len(items), min(len(items), SAMPLE * count), replace=False)
    some = torch.from_numpy(items[np.sort(drawn)])
    centres = normalize(some[torch.from_numpy(rng.choice(len(some), count, replace=False))])
    for turn in range(ROUNDS):
        progress(turn / (ROUNDS + LAST), f"{count:,} clusters, round {turn + 1} of {ROUNDS}")
        of = _nearest(some, centres)
        sums = torch.zeros_like(centres).index_add_(0, of, some)
        alone = torch.bincount(of, minlength=count) == 0
        sums[alone] = some[torch.from_numpy(rng.choice(len(some), int(alone.sum())))]
        centres = normalize(sums)
    progress(ROUNDS / (ROUNDS + LAST), f"{len(items):,} items")
    all_of = _nearest(torch.from_numpy(np.ascontiguousarray(items)), centres).numpy()
    rows = np.argsort(all_of, kind="stable").astype(np.int32)
    starts = np.concatenate([[0], np.cumsum(np.bincount(all_of, minlength=count))])
    return centres.numpy(), rows, starts.astype(np.int64)


def _nearest(items: Tensor, centres: Tensor) -> Tensor:
    """Of which centre each item is."""
    size = max(1, CELLS // max(1, len(centres)))
    return torch.cat([(some @ centres.T).argmax(1) for some in items.split(size)])

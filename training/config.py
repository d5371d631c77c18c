"""Settings of a training run: one frozen value and the functions that return complete ones."""

from __future__ import annotations

import os
from dataclasses import dataclass, field


def available_cores() -> int:
    """Cores this process may run on: torch counts those of the whole machine."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@dataclass(frozen=True, slots=True)
class TowerConfig:
    """How the towers train.

    length: newest events of a crop. batch: crops a step. negatives: from the batch, and as many uniform ones.
    id_dropout: share of items whose id is hidden in a step, so that content alone learns to place an item.
    context_dropout: share of the moments, and of each context column of the rest, that are hidden: what is asked
    without a context, as precomputed lists are, is nothing new.
    epochs: at most; the judge stops `patience` epochs after the best. On MovieLens 1M (leave one out, 4,000 queries,
    an average over 1,000 steps) recall@10 of the tower is .261, .291, .303, .309, .313 after 2, 6, 12, 18 and 24
    epochs; on MovieTweetings (rolling, one standard error .005) .134 after 2, .136 after 4, .132 after 8 and falling.
    """

    dim: int = 64
    hidden: int = 384
    length: int = 100
    batch: int = 32
    epochs: int = 8
    patience: int = 2
    learning_rate: float = 3e-3
    id_dropout: float = 0.1
    context_dropout: float = 0.1
    negatives: int = 512


@dataclass(frozen=True, slots=True)
class RankerConfig:
    """How the ranker trains. queries: of the label window, at most. candidates: of a query, a sample with its answers.

    doubtful: examples below which a ranker has to find more of what it was not taught than a simple order does.
    minimum: examples below which no ranker is trained. On MovieTweetings recall@10, three draws each, was .14-.16
    with 100 to 210 examples where recent popularity has .171, .16-.18 with 420, .19-.20 with 830. More steps
    made rankers of so few noisier, not better.
    """

    queries: int = 20_000
    candidates: int = 200
    minimum: int = 500
    doubtful: int = 2_000
    batch: int = 32
    epochs: int = 3
    learning_rate: float = 3e-3


@dataclass(frozen=True, slots=True)
class TrainingConfig:
    """One training run.

    label_share, test_share: the newest shares of the log, labels before test. test_queries: test events ranked, at
    most. precomputed: candidates kept of each user. threads: of torch, in all.
    """

    tower: TowerConfig = TowerConfig()
    ranker: RankerConfig = RankerConfig()
    label_share: float = 0.1
    test_share: float = 0.1
    test_queries: int = 20_000
    precomputed: int = 100
    threads: int = field(default_factory=available_cores)
    seed: int = 0


def small() -> TrainingConfig:
    """Minutes on two cores: the demo's, and a first look at a dataset."""
    return TrainingConfig(tower=TowerConfig(batch=64, epochs=5, patience=2))


def full() -> TrainingConfig:
    """As long as it helps: within a quarter of an hour for a million interactions on two cores."""
    return TrainingConfig(tower=TowerConfig(epochs=24, patience=4))


CONFIGS = {"small": small, "full": full}

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
    epochs: on MovieTweetings, two threads, the two stages' recall@10/ndcg@10 (one standard error .0048/.0029), for all
    and for cold users, and seconds a tower: 10 epochs .1942/.1058, .1652/.0845, 17 s; 6 epochs .1975/.1080,
    .1695/.0874, 10 s; 4 epochs .1941/.1084, .1583/.0905, 6.5 s, with cold users below recent
    popularity's .1625.
    """

    dim: int = 64
    hidden: int = 256
    length: int = 100
    batch: int = 64
    epochs: int = 6
    learning_rate: float = 3e-3
    dropout: float = 0.2
    id_dropout: float = 0.1
    negatives: int = 512


@dataclass(frozen=True, slots=True)
class RankerConfig:
    """How the ranker trains. queries: of the label window, at most. candidates: of a query, a sample with its answers.

    minimum: examples below which no ranker is trained. On MovieTweetings recall@10, three draws each, was .14-.16
    with 100 to 210 examples where recent popularity has .171, .16-.18 with 420, .19-.20 with 830. More steps
    made rankers of so few noisier, not better.
    """

    queries: int = 20_000
    candidates: int = 200
    minimum: int = 500
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
    """Minutes on two cores: the demo's and the tests' of a real dataset."""
    return TrainingConfig()

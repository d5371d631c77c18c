"""The configuration of a training run: every hyperparameter with its default value and its bounds, and the presets
`small` and `full`.

The section [training] of a dataset's `dataset.toml` and the command-line option --set change single values.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Annotated, Literal

from pydantic import ConfigDict, Field

STRICT = ConfigDict(extra="forbid")
"""For each class: a misspelt field is an error."""

Count = Annotated[int, Field(strict=True, ge=1, le=1_000_000)]
CountOrNone = Annotated[int, Field(strict=True, ge=0, le=1_000_000)]
Width = Annotated[int, Field(strict=True, ge=1, le=4_096)]
Threads = Annotated[int, Field(strict=True, ge=1, le=1_024)]
Seed = Annotated[int, Field(strict=True, ge=0, lt=2**31)]
Share = Annotated[float, Field(strict=True, gt=0, lt=1)]
Dropout = Annotated[float, Field(strict=True, ge=0, lt=1)]
Rate = Annotated[float, Field(strict=True, gt=0, le=1)]


def available_cores() -> int:
    """The cores that this process may use; torch counts the cores of the machine."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@dataclass(frozen=True, slots=True)
class TowerConfig:
    """Training of the towers, the networks that turn a user's history and an item into vectors.

    dim: dimensions of an embedding. hidden: width of the user tower's hidden layer. length: events of a crop. batch:
    crops of a step. negatives: items of the batch, and as many uniform items.
    id_dropout: share of items whose id is hidden in a step, so that the content alone can place an item.
    context_dropout: share of the events whose context is hidden, and of each context column of the other events, so
    that a query without a context, as for precomputed lists, is part of the training.
    epochs: at most; training stops `patience` epochs after the best epoch. On MovieLens 1M (leave one out, 4,000
    queries, an average over 1,000 steps) recall@10 of the tower is .261, .291, .303, .309, .313 after 2, 6, 12, 18 and
    24 epochs; on MovieTweetings (rolling, one standard error .005) .134 after 2, .136 after 4, .132 after 8.
    """

    __pydantic_config__ = STRICT

    dim: Width = 64
    hidden: Width = 384
    length: Count = 100
    batch: Count = 32
    epochs: Count = 8
    patience: Count = 2
    learning_rate: Rate = 3e-3
    id_dropout: Dropout = 0.1
    context_dropout: Dropout = 0.1
    negatives: Count = 512


@dataclass(frozen=True, slots=True)
class RankerConfig:
    """Training of the ranker, the network that orders the retrieved candidates.

    queries: of the label window, at most. candidates: of a query, a sample that includes the targets.
    minimum: examples below which no ranker is trained. doubtful: examples below which a ranker is used only if it finds
    more targets of held-out queries than a simple order of the candidates. On MovieTweetings recall@10, three samples
    each, was .14-.16 with 100 to 210 examples where recent popularity has .171, .16-.18 with 420, .19-.20 with 830.
    More steps made rankers of so few examples noisier, not better.
    queries is also the most slates of impressions, the newest.
    """

    __pydantic_config__ = STRICT

    queries: Count = 20_000
    candidates: Count = 200
    minimum: CountOrNone = 500
    doubtful: CountOrNone = 2_000
    batch: Count = 32
    epochs: Count = 3
    learning_rate: Rate = 3e-3


@dataclass(frozen=True, slots=True)
class TrainingConfig:
    """All values of a training run.

    label_share, test_share: the newest shares of the log, labels before test. test_queries: events of the test, at
    most. precomputed: recommended items that are stored for each user; 0 where all slates are computed at requests.
    threads: of torch. device: where the networks train; auto is cuda if PyTorch finds a GPU, else cpu.
    """

    __pydantic_config__ = STRICT

    tower: TowerConfig = TowerConfig()
    ranker: RankerConfig = RankerConfig()
    label_share: Share = 0.1
    test_share: Share = 0.1
    test_queries: Count = 20_000
    precomputed: CountOrNone = 100
    threads: Threads = field(default_factory=available_cores)
    seed: Seed = 0
    device: Literal["auto", "cpu", "cuda"] = "auto"

    def __post_init__(self) -> None:
        """ValueError if no event is left to train on."""
        if self.label_share + self.test_share >= 1:
            raise ValueError("label_share and test_share are below 1 together, so that events are left to train on")


def small() -> TrainingConfig:
    """The preset for the demo and for a first run of a dataset: minutes on two cores."""
    return TrainingConfig(tower=TowerConfig(batch=64, epochs=5, patience=2))


def full() -> TrainingConfig:
    """The preset with as many epochs as help: a quarter of an hour for a million interactions on two cores."""
    return TrainingConfig(tower=TowerConfig(epochs=24, patience=4))


CONFIGS = {"small": small, "full": full}

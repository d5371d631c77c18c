"""Simulated experiments: users who come on some day, return, and take items with a probability of their own.

Many experiments are drawn at once, as arrays [experiments, users, days].
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from recsys.types import F64, Bool

DAYS = 60
"""Of an experiment, with a look at the end of each."""

BEFORE_DAYS = 14
"""Of the period before, whose slates CUPED uses."""


@dataclass(frozen=True)
class Population:
    """users: of an experiment, who come on days drawn at random. share: of users who get the arm. click: the mean click
    rate. slates: the mean number of slates of a user on a day. lift: of the arm's click rate.

    Rates differ between users by a beta distribution of CONCENTRATION, numbers of slates by a log-normal one of SPREAD.
    """

    name: str
    users: int
    share: float
    click: float
    slates: float
    lift: float = 0.0


CONCENTRATION, SPREAD = 5.0, 1.0
"""Of users: rates vary as much as those of a beta distribution of 5 observations. A tenth of the users has 3.6 times as
many slates as the median user or more."""


@dataclass(frozen=True)
class Drawn:
    """Experiments. arm: [E, U]. clicks, slates: [E, U, DAYS], sums since the first day. before: [E, U, 2], the clicks
    and slates of the period before.
    """

    arm: Bool
    clicks: F64
    slates: F64
    before: F64


def draw(population: Population, experiments: int, random: np.random.Generator) -> Drawn:
    """Draw experiments of a population."""
    shape = experiments, population.users
    arm = random.random(shape) < population.share
    rate = random.beta(CONCENTRATION * population.click, CONCENTRATION * (1 - population.click), shape)
    slates = population.slates * random.lognormal(-(SPREAD**2) / 2, SPREAD, shape)
    first = random.integers(0, DAYS, shape)
    here = np.arange(DAYS) >= first[..., None]
    seen = random.poisson(np.where(here, slates[..., None], 0.0))
    seen[np.arange(DAYS) == first[..., None]] += 1  # a user comes with a slate
    taken = random.binomial(seen, np.minimum(1.0, rate * (1 + population.lift * arm))[..., None])
    earlier = random.poisson(slates * BEFORE_DAYS * (first < DAYS // 2))  # a late user is a new one
    before = np.stack([random.binomial(earlier, rate), earlier], axis=-1).astype(np.float64)
    return Drawn(arm, np.cumsum(taken, axis=-1, dtype=np.float64), np.cumsum(seen, axis=-1, dtype=np.float64), before)

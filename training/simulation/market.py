"""A simulated market: items that come and go, users whose taste drifts, their visits, and their clicks on slates.

Everything is drawn from the seed and the day, never from what a deployment shows. So two deployments with the same seed
have the same items, users, visits and random numbers of clicks, and differ in nothing but their slates.

The constants below were chosen once, before the first comparison of deployments (docs/decisions.md).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from recsys.types import F64, I64, Bool
from training.simulation.fitted_facts import Facts

USERS, ITEMS = 2_000, 1_000
"""Users, and items that are available at a time."""

PAST_DAYS = 20
"""Days of the first log, before any slate is shown."""

VISITS = 0.5
"""The chance that a user visits on a day. A visit is in one of PARTS parts of the day."""

PARTS = 3
FINDS = 0.5
"""The chance that a user has found an item by a search before a slate is shown. In the first log, which has no slates,
it is 1."""

TASTES, CATEGORIES = 8, 20
"""Dimensions of taste, and categories: the only property of an item that a deployment sees before any click."""

CATEGORY_SHARE = 0.5
"""How much of an item's fit its category explains, as a share of the variance."""

DRIFT = 0.2
"""A user's taste of a day is sqrt(1 - DRIFT**2) of the day before and DRIFT of a new one."""

APPEAL, FIT, RARELY = 1.2, 1.2, -5.5
"""The logit of a click on an item that the user looks at: RARELY + APPEAL * the item's appeal + FIT * its fit. Appeal
and fit have standard deviation 1 over the items."""

PLACES = 10
LOOKS = 1 / np.log2(np.arange(PLACES) + 2)
"""How often a user looks at each place of a slate."""


@dataclass(frozen=True, slots=True)
class Visits:
    """The slates of a day. users: [n]. parts: [n] of the day. rounds: [n], 0 for the first slate of a visit.

    finds: [n] the item that the user found by a search before the slate; -1 without one.
    """

    users: I64
    parts: I64
    rounds: I64
    finds: I64


class Market:
    """Users and items of a seed. Items have numbers in the order of their first day; days before the proof are < 0."""

    def __init__(self, facts: Facts, seed: int, days: int) -> None:
        self.facts, self.seed = facts, seed
        random = self._random(0)
        self.new_a_day = round(facts.turnover * ITEMS / 7)
        count = ITEMS + self.new_a_day * (PAST_DAYS - 1 + days)
        number = np.arange(count)
        self.first_day = np.maximum((number - ITEMS) // self.new_a_day + 1, 0) - PAST_DAYS
        self.last_day = self._last_days(days, random)
        self.appeal = random.normal(size=count)
        self.category = random.integers(CATEGORIES, size=count)
        of_category = random.normal(size=(CATEGORIES, TASTES))[self.category]
        own = random.normal(size=(count, TASTES))
        mixed = np.sqrt(CATEGORY_SHARE) * of_category + np.sqrt(1 - CATEGORY_SHARE) * own
        self._vectors = mixed / np.linalg.norm(mixed, axis=1, keepdims=True)
        self._tastes: dict[int, F64] = {-PAST_DAYS: random.normal(size=(USERS, TASTES))}
        seen = np.zeros((USERS, count), bool)
        self.visits = {day: self._visits(day, seen) for day in range(-PAST_DAYS, days)}

    def _random(self, purpose: int, day: int = 0) -> np.random.Generator:
        return np.random.default_rng([self.seed, purpose, day + PAST_DAYS])

    def _last_days(self, days: int, random: np.random.Generator) -> I64:
        """The last day of each item; as many items end on a day as begin on the next."""
        last = np.full(len(self.first_day), days)
        for day in range(-PAST_DAYS, days - 1):
            alive = np.flatnonzero((self.first_day <= day) & (last > day))
            last[random.choice(alive, self.new_a_day, replace=False)] = day
        return last

    def available(self, day: int) -> Bool:
        """Whether each item is available on a day: [items]."""
        alive: Bool = (self.first_day <= day) & (self.last_day >= day)
        return alive

    def fit(self, day: int, users: I64) -> F64:
        """How each item fits the taste of users on a day: [users, items]."""
        for next_day in range(max(self._tastes) + 1, day + 1):
            new = self._random(1, next_day).normal(size=(USERS, TASTES))
            self._tastes[next_day] = np.sqrt(1 - DRIFT**2) * self._tastes[next_day - 1] + DRIFT * new
        fits: F64 = self._tastes[day][users] @ self._vectors.T
        return fits

    def _visits(self, day: int, seen: Bool) -> Visits:
        """The slates of a day, each round of a visit after the one before."""
        random = self._random(2, day)
        users = np.flatnonzero(random.random(USERS) < VISITS)
        length = random.geometric(1 / self.facts.visit, len(users))
        owner = np.repeat(np.arange(len(users)), length)
        rounds = np.arange(len(owner)) - np.repeat(np.cumsum(length) - length, length)
        finds = self._finds(day, users[owner], seen)
        return Visits(users[owner], random.integers(PARTS, size=len(users))[owner], rounds, finds)

    def _finds(self, day: int, users: I64, seen: Bool) -> I64:
        """The item that each user finds by a search: [users], -1 without one.

        seen: [USERS, items] what users found before; it is changed.
        """
        random = self._random(3, day)
        values = self.facts.skew * self.appeal + FIT * self.fit(day, users)
        values = np.where(self.available(day) & ~seen[users], values, -np.inf)
        found = (values + random.gumbel(size=values.shape)).argmax(axis=1)
        searched = random.random(len(users)) < (FINDS if day >= 0 else 1)
        seen[users[searched], found[searched]] = True
        return np.where(searched, found, -1)

    def clicks(self, day: int, users: I64, slates: I64, rows: I64) -> Bool:
        """Which items of slates [n, places] users click. rows: [n] each slate's number among the day's visits."""
        fits = np.take_along_axis(self.fit(day, users), slates, axis=1)
        logits = RARELY + APPEAL * self.appeal[slates] + FIT * fits
        numbers = self._random(4, day).random((int(rows.max()) + 1, len(self.appeal)), np.float32)[rows]
        clicked: Bool = np.take_along_axis(numbers, slates, axis=1) < LOOKS[: slates.shape[1]] / (1 + np.exp(-logits))
        return clicked

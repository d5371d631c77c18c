"""Simulated shops whose users click by a known law, so that the true reward of every policy is known.

A user clicks a shown item more often the better it fits the user's taste, and less the lower its place is. An item of a
group that stands above it already is clicked less often: the places before matter.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from recsys.types import F64, I64, Bool
from training.offpolicy.explored_slates import ExploredSlates

ITEMS, PLACES, GROUPS, TASTES = 12, 4, 3, 4
SEEN = 1 / np.log2(np.arange(PLACES) + 2)
"""How often a user looks at each place."""

GROUP_OF = np.arange(ITEMS) % GROUPS
UNCERTAIN = np.arange(ITEMS) % 5 == 0
TASTE_OF_ITEMS = np.random.default_rng(5).normal(size=(ITEMS, TASTES)) / np.sqrt(TASTES)


@dataclass(frozen=True, eq=False)
class Policy:
    """Draws places by exp((own * score + tilt) / temperature), and a share of them uniformly among uncertain items.

    tilt: [ITEMS]. only: the items that the policy shows, [ITEMS]; None for all. other: the share of another ranker's
    score in the score.
    """

    temperature: float
    share: float
    own: float = 1.0
    tilt: F64 | float = 0.0
    only: Bool | None = None
    other: float = 0.0

    def chances(self, visits: Visits, free: Bool) -> F64:
        """The probability of each item at a place: [S, ITEMS]. free: which items the slates do not have yet."""
        scores = (1 - self.other) * visits.scores + self.other * visits.others
        open_items = free if self.only is None else free & self.only
        values = np.where(open_items, (self.own * scores + self.tilt) / self.temperature, -np.inf)
        weights = np.exp(values - values.max(axis=1, keepdims=True))
        drawn: F64 = weights / weights.sum(axis=1, keepdims=True)
        rare = open_items & UNCERTAIN
        count = rare.sum(axis=1, keepdims=True)
        return np.where(count > 0, (1 - self.share) * drawn + self.share * rare / np.maximum(count, 1), drawn)


@dataclass(frozen=True, eq=False)
class Visits:
    """S visits. users: [S]. fits: [S, ITEMS] how items fit the user.

    scores: [S, ITEMS] fits with noise. others: [S, ITEMS] those of another ranker, with noise of its own.
    """

    users: I64
    fits: F64
    scores: F64
    others: F64

    @classmethod
    def drawn(cls, users: int, visits: int, random: np.random.Generator) -> Visits:
        """Visits of new users, so many each."""
        fits = np.repeat(random.normal(size=(users, TASTES)) @ TASTE_OF_ITEMS.T, visits, axis=0)
        scores, others = (fits + 0.7 * random.normal(size=fits.shape) for _ in range(2))
        return cls(np.arange(users).repeat(visits), fits, scores, others)


@dataclass(frozen=True, eq=False)
class Place:
    """One place of S slates. free: [S, ITEMS] before the place. clicks: [S, ITEMS] the chance of a click on each item.

    shown: [S] the item. chances: [S, ITEMS] by which the item was drawn.
    """

    free: Bool
    clicks: F64
    shown: I64
    chances: F64

    def of_shown(self, values: F64) -> F64:
        """The value of the shown item: [S]."""
        found: F64 = values[np.arange(len(values)), self.shown]
        return found


def places(visits: Visits, policy: Policy, random: np.random.Generator) -> Iterator[Place]:
    """The places of slates that a policy draws, from the first on."""
    rows = np.arange(len(visits.users))
    free, above = np.ones(visits.fits.shape, bool), np.zeros((len(rows), GROUPS))
    for looks in SEEN:
        chances = policy.chances(visits, free)
        sums = chances.cumsum(axis=1)
        shown = (sums > (random.random(len(rows)) * sums[:, -1])[:, None]).argmax(axis=1)
        clicks = looks / (1 + np.exp(2 - 1.2 * (visits.fits - 0.5 * above[:, GROUP_OF])))
        yield Place(free.copy(), clicks, shown, chances)
        free[rows, shown] = False
        above[rows, GROUP_OF[shown]] += 1


def log(visits: Visits, logged: Policy, target: Policy, random: np.random.Generator) -> ExploredSlates:
    """The slates of a logged policy with what an estimate for a target needs. The reward model is 10 % too high."""
    columns = []
    for place, looks in zip(places(visits, logged, random), SEEN, strict=True):
        wanted = target.chances(visits, place.free)
        model = 1.1 * looks / (1 + np.exp(2 - 0.7 * visits.scores))
        clicked = random.random(len(visits.users)) < place.of_shown(place.clicks)
        shown = map(place.of_shown, (place.chances, wanted, model))
        expected = (wanted * model).sum(axis=1)
        columns.append([clicked.astype(float), *shown, expected, np.zeros(len(expected))])
    return ExploredSlates(visits.users, *np.stack(columns, axis=2))


def true_rewards(policy: Policy, users: int, random: np.random.Generator) -> F64:
    """The clicks at each place of a slate under a policy, over many new users: [PLACES]."""
    visits = Visits.drawn(users, 1, random)
    return np.array([(place.chances * place.clicks).sum(axis=1).mean() for place in places(visits, policy, random)])


LOGGED = Policy(temperature=0.7, share=0.1)


def random_policy(random: np.random.Generator) -> Policy:
    """A policy that may be near the logged one, or far from it."""
    tilt = random.normal(size=ITEMS) * random.uniform(0, 0.8)
    temperature = float(np.exp(random.uniform(np.log(0.3), np.log(2))))
    return Policy(temperature, random.uniform(0, 0.4), random.uniform(0.3, 1), tilt)

"""A made-up shop whose users click by a known law, so that the reward of every policy is known.

Estimators take users as independent draws, and nothing else is as a formula would have it: numbers of visits and tastes
have heavy tails, a user's visits are alike, and a user takes the first item of a slate that pleases, so that the chance
of a place depends on the items above.
"""

from dataclasses import dataclass

import numpy as np

from training.offpolicy.estimates import ExploredSlates

ITEMS, PLACES = 8, 3


@dataclass(frozen=True, eq=False)
class Policy:
    """Draws each place by exp((score + tilt) / temperature) among the items of `only` that the slate lacks."""

    temperature: float = 1.0
    tilt: np.ndarray | float = 0.0
    only: np.ndarray | bool = True

    def chances(self, scores, free):
        values = np.where(free & self.only, (scores + self.tilt) / self.temperature, -np.inf)
        weights = np.exp(values - values.max(axis=1, keepdims=True))
        return weights / weights.sum(axis=1, keepdims=True)


LOGGED = Policy()


class Visits:
    """Visits of new users. users: [S]. likes: [S, ITEMS]. scores: [S, ITEMS], the likes with noise."""

    def __init__(self, users, random):
        visits = 1 + random.poisson(random.lognormal(1, 1, users))
        self.users = np.arange(users).repeat(visits)
        likes = 0.6 * random.standard_t(4, (users, ITEMS)) + 1.5 * random.normal(size=(users, 1))
        self.likes = likes[self.users]
        self.scores = self.likes + random.normal(size=self.likes.shape)

    def drawn(self, policy, random):
        """The items that a policy shows, [S, PLACES], and which items each place could have, [PLACES, S, ITEMS]."""
        rows, free = np.arange(len(self.users)), np.ones((PLACES + 1, *self.scores.shape), bool)
        shown = np.zeros((len(rows), PLACES), int)
        for place in range(PLACES):
            sums = policy.chances(self.scores, free[place]).cumsum(axis=1)
            shown[:, place] = (sums > random.random((len(rows), 1)) * sums[:, -1:]).argmax(axis=1)
            free[place + 1 :, rows, shown[:, place]] = False
        return shown, free[:PLACES]

    def clicks(self, shown):
        """The chance that each place is taken: [S, PLACES]."""
        pleases = 1 / (1 + np.exp(2 - np.take_along_axis(self.likes, shown, axis=1)))
        return pleases * np.cumprod(1 - np.insert(pleases, 0, 0, axis=1), axis=1)[:, :PLACES]


def log(visits, logged, target, random):
    """The slates that a policy showed, with what an estimate for a target needs. The reward model is wrong."""
    shown, free = visits.drawn(logged, random)
    taken = visits.clicks(shown).cumsum(axis=1)
    draws = random.random((len(shown), 1))
    rewards = (draws < taken) & (draws >= taken - visits.clicks(shown))
    model = 0.1 + 0.1 * np.tanh(visits.scores)

    def of_shown(values):
        return np.take_along_axis(values, shown[:, [place]], axis=1)[:, 0]

    columns = []
    for place in range(PLACES):
        by_log, wanted = (policy.chances(visits.scores, free[place]) for policy in (logged, target))
        probabilities = of_shown(by_log), of_shown(wanted)
        columns.append((rewards[:, place], *probabilities, of_shown(model), (wanted * model).sum(axis=1)))
    values = np.stack([np.stack(column) for column in columns], axis=-1).astype(float)
    return ExploredSlates(visits.users, *values, np.zeros(rewards.shape))


def true_rewards(visits, policy, random):
    """The clicks at each place under a policy: [PLACES]. visits: of many users."""
    return visits.clicks(visits.drawn(policy, random)[0]).mean(axis=0)


def random_policy(random):
    """A policy that may be near the logged one, or far from it."""
    tilt = random.normal(size=ITEMS) * random.uniform(0, 0.6)
    return Policy(random.uniform(0.6, 2), tilt)

"""The sequence of users for whom a load test sends requests: known ones by Zipf's law, and a share of unknown ones."""

from __future__ import annotations

import random
from bisect import bisect
from dataclasses import dataclass
from itertools import accumulate


@dataclass(frozen=True)
class Population:
    """Known users with the ranks 1 to `users`, the most frequent first, and unknown users.

    names: the ids of the known users; without names the ids are the ranks. cold_share: share of requests for unknown
    users. zipf: the exponent.
    """

    users: int = 16_000
    cold_share: float = 0.1
    zipf: float = 0.8
    names: tuple[str, ...] = ()

    @property
    def known(self) -> int:
        """The number of known users."""
        return len(self.names) or self.users


class UserSequence:
    """A seeded sequence of user ids."""

    def __init__(self, population: Population, seed: int | str) -> None:
        self._population = population
        self._random = random.Random(f"visitors {seed}")
        self._cumulated = [*accumulate((rank + 1) ** -population.zipf for rank in range(population.known))]

    def next_user(self) -> int | str:
        """The user of the next request."""
        if self._random.random() < self._population.cold_share:
            return f"stranger-{self._random.getrandbits(48):012x}"
        rank = bisect(self._cumulated, self._random.random() * self._cumulated[-1]) + 1
        rank = min(rank, self._population.known)
        return self._population.names[rank - 1] if self._population.names else rank

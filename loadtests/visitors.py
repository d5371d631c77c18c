"""Who asks: users by Zipf's law, and a share of strangers whom nobody has seen."""

from __future__ import annotations

import random
from bisect import bisect
from dataclasses import dataclass
from itertools import accumulate


@dataclass(frozen=True)
class Population:
    """Users 1 to `users`, called by `pattern`, as popular as their number is low, and strangers.

    pattern: what a known user is called, {} stands for the number; a pattern of "{}" alone gives numbers. names: what
    they are called instead, one by one; then there are as many as have a name.
    """

    users: int = 16_000
    pattern: str = "{}"
    cold_share: float = 0.1
    zipf: float = 0.8
    names: tuple[str, ...] = ()

    @property
    def known(self) -> int:
        """How many users are known."""
        return len(self.names) or self.users


class Visitors:
    """A seeded sequence of user ids."""

    def __init__(self, population: Population, seed: int) -> None:
        self._population = population
        self._chance = random.Random(f"visitors {seed}")
        self._reach = [*accumulate((rank + 1) ** -population.zipf for rank in range(population.known))]

    def one(self) -> int | str:
        """The next who asks."""
        if self._chance.random() < self._population.cold_share:
            return f"stranger-{self._chance.getrandbits(48):012x}"
        number = bisect(self._reach, self._chance.random() * self._reach[-1]) + 1
        number = min(number, self._population.known)
        if self._population.names:
            return self._population.names[number - 1]
        return number if self._population.pattern == "{}" else self._population.pattern.format(number)

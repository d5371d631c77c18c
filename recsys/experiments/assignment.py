"""The assignment of users to arms: a pure function of salts and user ids, the same in serving, `batch` and `refresh`.

A user has a position from 0 to 1 for each salt, which never changes. An arm has a lane of positions that begins at a
fixed place, and the ramp decides how much of the lane is in force. So a ramp moves users between the control and an
arm, and never from one arm to another.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b

import numpy as np

from recsys.experiments.definition import CONTROL
from recsys.types import F64, I8, Id

OUTSIDE, IN_CONTROL = -2, -1
"""In arrays of arms: a user who does not take part, and one in the control. Arms are numbers from 0 on."""

HOLDOUT_SALT = "tandem holdout"
"""The salt of the holdout, the same for all experiments: one user is in all holdouts of the same share, or in none."""

LAYER_SALT = "tandem layer "
"""The beginning of a layer's salt, so that no experiment has the salt of its layer."""


def position(salt: str, user: Id) -> float:
    """The position of a user: uniform in [0, 1) over users, independent between salts. 7 and "7" are one user."""
    hashed = _hash_of(salt).copy()
    hashed.update(str(user).encode("utf-8", "surrogatepass"))
    return (int.from_bytes(hashed.digest(), "big") >> 11) / (1 << 53)  # a double has 53 bits


@lru_cache(256)
def _hash_of(salt: str) -> blake2b:
    return blake2b(digest_size=8, key=blake2b(salt.encode("utf-8"), digest_size=16).digest())


def positions(salt: str, users: Sequence[Id]) -> F64:
    """The positions of users, [n]."""
    return np.fromiter((position(salt, user) for user in users), np.float64, len(users))


@dataclass(frozen=True, slots=True)
class Lanes:
    """How an experiment divides users between its arms now.

    layer, salt: of the positions. slot: from which to which of the layer's positions users take part. holdout: the
    share of users without any experiment. arms: the names. starts: [arms] the place where each lane begins. stops:
    [arms] the place where the part in force ends.
    """

    layer: str
    salt: str
    slot: tuple[float, float]
    holdout: float
    arms: tuple[str, ...]
    starts: tuple[float, ...]
    stops: tuple[float, ...]

    def assign(self, users: Sequence[Id]) -> I8:
        """The number of each user's arm, or OUTSIDE or IN_CONTROL, [n]."""
        found = np.full(len(users), OUTSIDE, np.int8)
        in_layer, first, last = positions(LAYER_SALT + self.layer, users), *self.slot
        taking = (first <= in_layer) & (in_layer < last)
        if self.holdout:
            taking &= positions(HOLDOUT_SALT, users) >= self.holdout
        found[taking] = IN_CONTROL
        place = positions(self.salt, users)
        for arm, (start, stop) in enumerate(zip(self.starts, self.stops, strict=True)):
            found[taking & (start <= place) & (place < stop)] = arm
        return found

    def arm_of(self, user: Id) -> str | None:
        """The name of a user's arm, CONTROL, or None if the user does not take part: as `assign`, in 3 us a user."""
        first, last = self.slot
        if not first <= position(LAYER_SALT + self.layer, user) < last:
            return None
        if self.holdout and position(HOLDOUT_SALT, user) < self.holdout:
            return None
        place = position(self.salt, user)
        for arm, start, stop in zip(self.arms, self.starts, self.stops, strict=True):
            if start <= place < stop:
                return arm
        return CONTROL

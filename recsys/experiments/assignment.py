"""The assignment of users to arms: a pure function of salts and user ids, the same in serving, `batch` and `refresh`.

A user has a position from 0 to 1 for each salt, which never changes. An arm has a lane of positions that begins at a
fixed place, and the ramp decides how much of the lane is in force. So a ramp moves users between the control and an
arm, and never from one arm to another.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from recsys.experiments.definition import CONTROL
from recsys.experiments.former_layers import FormerPart
from recsys.experiments.positions import position, positions
from recsys.types import I8, Id

OUTSIDE, IN_CONTROL = -2, -1
"""In arrays of arms: a user outside a `FormerPart`, and one in the control. Arms are numbers from 0 on."""


@dataclass(frozen=True, slots=True)
class Lanes:
    """How an experiment divides users between its arms now.

    salt: of the positions. arms: the names. starts: [arms] the place where each lane begins. stops: [arms] the place
    where the part in force ends. former: the users who take part, of an experiment of the release before; None for all.
    """

    salt: str
    arms: tuple[str, ...]
    starts: tuple[float, ...]
    stops: tuple[float, ...]
    former: FormerPart | None = None

    def assign(self, users: Sequence[Id]) -> I8:
        """The number of each user's arm, or OUTSIDE or IN_CONTROL, [n]."""
        found = np.full(len(users), IN_CONTROL, np.int8)
        place = positions(self.salt, users)
        for arm, (start, stop) in enumerate(zip(self.starts, self.stops, strict=True)):
            found[(start <= place) & (place < stop)] = arm
        if self.former:
            found[~self.former.of(users)] = OUTSIDE
        return found

    def arm_of(self, user: Id) -> str | None:
        """The name of a user's arm, CONTROL, or None if the user does not take part: as `assign`, in 3 us a user."""
        if self.former and not self.former.has(user):
            return None
        place = position(self.salt, user)
        for arm, start, stop in zip(self.arms, self.starts, self.stops, strict=True):
            if start <= place < stop:
                return arm
        return CONTROL

"""The window of a report: the slates since the last change of who gets which arm, and the period before the experiment.

Before the last change of a ramp other users had the arm. Slates of both times together would compare users with
themselves, and users who moved would be left out.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise

from recsys.errors import ExperimentError
from recsys.experiments.definition import CONTROL
from recsys.experiments.document import Change, Experiment

SETTLE_SECONDS = 60.0
"""From a change to the window: until then some process may still serve what was before."""

BEFORE_SECONDS = 28 * 86_400.0
"""The length of the period before: four weeks, so that each weekday counts as often."""


@dataclass(frozen=True)
class Window:
    """Slates from `since` to `until` are read; those of the period before, from `before` to `start`, explain users.

    All in unix seconds. start: of the experiment, which may be earlier than the window's. shares: of users by group,
    control first. one_assignment: whether no ramp or halt is inside the window. number: of the experiment's windows so
    far, this one included.
    """

    since: float
    until: float
    before: float
    start: float
    shares: Mapping[str, float] = field(default_factory=dict)
    one_assignment: bool = True
    number: int = 1

    @property
    def groups(self) -> tuple[str, ...]:
        """Control and the arms."""
        return tuple(self.shares)

    @property
    def level_share(self) -> float:
        """The share of a level of significance that the window has: 6 / (π² k²) for the k-th.

        Each window is a chance of a false alarm. The shares of all windows have the sum 1, however many follow.
        """
        return 6 / (math.pi * self.number) ** 2


def window_of(experiment: Experiment, now: float, since: float | None = None) -> Window:
    """The window of an experiment's last shares. since: in place of its begin. ExperimentError if no arm had users.

    The window of a paused or stopped experiment, or of one without an arm in force, ends with the change that did so.
    """
    changes = experiment.changes
    last = max((place for place, change in enumerate(changes) if change.shares), default=None)
    if last is None:
        raise ExperimentError(
            f"No arm of {experiment.name} has had users: it is {experiment.status}, and its ramp is at 0 %. Ramp it: "
            f"python -m flows experiment ramp {experiment.name} 5"
        )
    stated = experiment.definition
    first = next(change.at for change in changes if change.shares)
    start = max(first, stated.start.timestamp() if stated.start else first)
    begin = max(changes[last].at, start) + SETTLE_SECONDS
    ends = [now, *(change.at for change in changes[last + 1 :][:1])]
    until = min([*ends, *([stated.end.timestamp()] if stated.end else [])])
    shares = changes[last].shares
    return Window(
        since=begin if since is None else since,
        until=until,
        before=start - BEFORE_SECONDS,
        start=start,
        shares={CONTROL: 1 - sum(shares.values()), **shares},
        one_assignment=since is None or since >= changes[last].at,
        number=1 + sum(_was_readable(change, after.at, start) for change, after in pairwise(changes[: last + 1])),
    )


def _was_readable(change: Change, end: float, start: float) -> bool:
    """Whether a change began a window that had slates before its end."""
    return bool(change.shares) and end > max(change.at, start) + SETTLE_SECONDS

"""Time features, inputs of the models: time between events on a logarithmic scale, and hour and weekday in UTC.

Training and serving use the same scale: training by numpy, serving by compiled loops.
"""

from __future__ import annotations

import math

import numpy as np

from recsys.kernels.jit import compiled, contiguous
from recsys.types import CLOCK, F64, I64, U8, Histories

STEPS = 28
"""Steps of the scale. Step s is 2^s - 1 to 2^(s+1) - 1 seconds: step 0 is the same second, and step 27 is years."""

NOTHING_BEFORE = STEPS
"""The step of an event or a query without an event before."""

DAY_PARTS, HOURS_OF_A_PART = 4, 6
SATURDAY = 6
DAY = 86_400.0
MONDAY = 4 * DAY
"""The first Monday of 1970, unix seconds: the year began on a Thursday."""


def clock(times: F64) -> U8:
    """Hour of day and weekday, both from 1, Monday first: [..., CLOCK] uint8. 0 means an unknown time."""
    found = np.empty((*np.shape(times), CLOCK), np.uint8)
    write_clock(contiguous(np.asarray(times, np.float64).reshape(-1)), found.reshape(-1, CLOCK))
    return found


def steps(seconds: F64) -> I64:
    """The steps of times between events: [...] int64. Negative ones, by clocks that disagree, count as 0."""
    clipped = np.clip(np.nan_to_num(seconds), 0, 2.0**STEPS)
    found: I64 = np.minimum(np.frexp(clipped + 1)[1] - 1, STEPS - 1).astype(np.int64)
    return found


def gaps(histories: Histories) -> I64:
    """The step from the event before to each event: [B, H] int64, NOTHING_BEFORE for the first."""
    real, found = histories.items >= 0, np.full(histories.items.shape, NOTHING_BEFORE, np.int64)
    found[:, 1:] = np.where(real[:, 1:] & real[:, :-1], steps(np.diff(histories.times)), NOTHING_BEFORE)
    return found


def waits(histories: Histories) -> I64:
    """The step from the newest event of each history to the query: [B] int64, NOTHING_BEFORE without events."""
    since = steps(histories.now - histories.times[:, -1])
    return np.where(histories.items[:, -1] >= 0, since, NOTHING_BEFORE)


@compiled
def write_clock(times, out):
    """`clock` of times [n] float64 into out [n, CLOCK]."""
    for at in range(len(times)):
        since = (times[at] - MONDAY) % (7 * DAY)
        out[at, 0] = np.uint8(since % DAY / 3_600.0) + 1
        out[at, 1] = np.uint8(since / DAY) + 1


@compiled
def step(seconds):
    """`steps` of one time: how often the seconds plus one can be halved; 0 for a negative time or NaN."""
    if not seconds > 0:
        return 0
    return min(math.frexp(min(seconds, 2.0**STEPS) + 1.0)[1] - 1, STEPS - 1)


@compiled
def gap(items, times, query, at):
    """`gaps` of the event at a place of items [B, H]."""
    known = at > 0 and items[query, at] >= 0 and items[query, at - 1] >= 0
    return step(times[query, at] - times[query, at - 1]) if known else NOTHING_BEFORE


@compiled
def wait(items, times, now, query):
    """`waits` of one query."""
    newest = items.shape[1] - 1
    known = newest >= 0 and items[query, newest] >= 0
    return step(now[query] - times[query, newest]) if known else NOTHING_BEFORE

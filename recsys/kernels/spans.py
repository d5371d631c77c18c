"""`recsys.model.time_features` in kernels: the clock, and the steps between the events of a history and the query."""

from __future__ import annotations

import math

import numpy as np

from recsys.kernels.compiled import compiled


@compiled
def clock(times, monday, out):
    """The hour of times [n] float64 seconds and their weekday, both from 1, into out [n, 2] uint8.

    monday: the seconds of one, at midnight.
    """
    for at in range(len(times)):
        since = (times[at] - monday) % 604_800.0
        out[at, 0] = np.uint8(since % 86_400.0 / 3_600.0) + 1
        out[at, 1] = np.uint8(since / 86_400.0) + 1


@compiled
def scaled(seconds, steps):
    """On a scale of so many steps: of seconds and one more, how often they can be halved. A negative span is none."""
    if not seconds > 0:  # nor is one that is no number
        return 0
    return min(math.frexp(min(seconds, 2.0**steps) + 1.0)[1] - 1, steps - 1)


@compiled
def gap(items, times, query, at, steps):
    """The step to what stands at a place of items [B, H] from what stands before it; `steps` where either is none."""
    known = at > 0 and items[query, at] >= 0 and items[query, at - 1] >= 0
    return scaled(times[query, at] - times[query, at - 1], steps) if known else steps


@compiled
def wait(items, times, now, query, steps):
    """The step from the newest of items [B, H] to now; `steps` where there is none."""
    newest = items.shape[1] - 1
    known = newest >= 0 and items[query, newest] >= 0
    return scaled(now[query] - times[query, newest], steps) if known else steps


@compiled
def gaps(items, times, steps, out):
    """The step from the event before to each of items [B, H] int32, into out [B, H] int64; `steps` at the first.

    times: [B, H] float64 seconds.
    """
    for query in range(len(items)):
        for at in range(items.shape[1]):
            out[query, at] = gap(items, times, query, at, steps)


@compiled
def waits(items, times, now, steps, out):
    """The step from the newest of items [B, H] int32 to now [B], into out [B] int64; `steps` where there is none."""
    for query in range(len(items)):
        out[query] = wait(items, times, now, query, steps)

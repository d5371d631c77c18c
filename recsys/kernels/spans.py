"""What `recsys.moments` tells of times: the clock, and steps between the events of a history and to what is asked."""

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
    return min(math.frexp(max(seconds, 0.0) + 1.0)[1] - 1, steps - 1)


@compiled
def gaps(items, times, steps, out):
    """The step from the event before to each of items [B, H] int32, into out [B, H] int64; `steps` at the first.

    times: [B, H] float64 seconds.
    """
    for query in range(len(items)):
        for at in range(items.shape[1]):
            known = at > 0 and items[query, at] >= 0 and items[query, at - 1] >= 0
            out[query, at] = scaled(times[query, at] - times[query, at - 1], steps) if known else steps


@compiled
def waits(items, times, now, steps, out):
    """The step from the newest of items [B, H] int32 to now [B], into out [B] int64; `steps` where there is none."""
    for query in range(len(items)):
        known = items.shape[1] > 0 and items[query, -1] >= 0
        out[query] = scaled(now[query] - times[query, -1], steps) if known else steps

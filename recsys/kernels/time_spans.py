"""Time spans between events on a logarithmic scale, and hour and weekday of a time, computed by compiled loops.

`recsys.model.time_features` defines the scale.
"""

from __future__ import annotations

import math

import numpy as np

from recsys.kernels.jit import compiled


@compiled
def clock(times, monday, out):
    """The hour and the weekday of times [n] float64 seconds, both from 1: [n, 2] uint8. monday: the midnight of one."""
    for at in range(len(times)):
        since = (times[at] - monday) % 604_800.0
        out[at, 0] = np.uint8(since % 86_400.0 / 3_600.0) + 1
        out[at, 1] = np.uint8(since / 86_400.0) + 1


@compiled
def scaled(seconds, steps):
    """The step of a span: how often the seconds plus one can be halved, less than `steps`; 0 for a negative or NaN."""
    if not seconds > 0:
        return 0
    return min(math.frexp(min(seconds, 2.0**steps) + 1.0)[1] - 1, steps - 1)


@compiled
def gap(items, times, query, at, steps):
    """The step from the event before to the event at a place of items [B, H]; `steps` if there is no such pair."""
    known = at > 0 and items[query, at] >= 0 and items[query, at - 1] >= 0
    return scaled(times[query, at] - times[query, at - 1], steps) if known else steps


@compiled
def wait(items, times, now, query, steps):
    """The step from the newest event of items [B, H] to now [B]; `steps` if there is no event."""
    newest = items.shape[1] - 1
    known = newest >= 0 and items[query, newest] >= 0
    return scaled(now[query] - times[query, newest], steps) if known else steps


@compiled
def gaps(items, times, steps, out):
    """`gap` of every event of items [B, H] int32: [B, H] int64. times: [B, H] float64 seconds."""
    for query in range(len(items)):
        for at in range(items.shape[1]):
            out[query, at] = gap(items, times, query, at, steps)


@compiled
def waits(items, times, now, steps, out):
    """`wait` of every query: [B] int64."""
    for query in range(len(items)):
        out[query] = wait(items, times, now, query, steps)

"""Time features, inputs of the models: time between events on a logarithmic scale, and hour and weekday in UTC.

Training and serving call the same functions.
"""

from __future__ import annotations

import numpy as np

from recsys.kernels import time_spans
from recsys.kernels.jit import contiguous
from recsys.types import CLOCK, F64, I64, U8, Histories

STEPS = 28
"""Steps of the scale. Step s is 2^s - 1 to 2^(s+1) - 1 seconds: step 0 is the same second, and step 27 is years."""

NOTHING_BEFORE = STEPS
"""The step of an event or a query without an event before."""

DAY_PARTS, HOURS_OF_A_PART = 4, 6
SATURDAY = 6
DAY = 86_400
MONDAY = 4 * DAY
"""The first Monday of 1970, unix seconds: the year began on a Thursday."""


def clock(times: F64) -> U8:
    """Hour of day and weekday, both from 1, Monday first: [..., CLOCK] uint8. 0 means an unknown time."""
    found = np.empty((*np.shape(times), CLOCK), np.uint8)
    time_spans.clock(contiguous(np.asarray(times, np.float64).reshape(-1)), MONDAY, found.reshape(-1, CLOCK))
    return found


def steps(seconds: F64) -> I64:
    """The steps of times between events: [...] int64. Negative ones, by clocks that disagree, count as 0."""
    clipped = np.clip(np.nan_to_num(seconds), 0, 2.0**STEPS)
    found: I64 = np.minimum(np.frexp(clipped + 1)[1] - 1, STEPS - 1).astype(np.int64)
    return found


def gaps(histories: Histories) -> I64:
    """The step from the event before to each event: [B, H] int64, NOTHING_BEFORE for the first."""
    after = np.empty(histories.items.shape, np.int64)
    time_spans.gaps(contiguous(histories.items), contiguous(histories.times), STEPS, after)
    return after


def waits(histories: Histories) -> I64:
    """The step from the newest event of each history to the query: [B] int64, NOTHING_BEFORE without events."""
    since = np.empty(len(histories), np.int64)
    time_spans.waits(contiguous(histories.items), contiguous(histories.times), contiguous(histories.now), STEPS, since)
    return since

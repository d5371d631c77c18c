"""Time as the models see it: how long between two events, on a logarithmic scale, and the hour and weekday in UTC.

One code, two callers; what a request asks for is compiled.
"""

from __future__ import annotations

import numpy as np

from recsys.kernels import spans
from recsys.kernels.compiled import plain
from recsys.types import CLOCK, F64, I64, U8, Histories

STEPS = 28
"""Steps of the scale: step s holds 2^s - 1 to 2^(s+1) - 1 seconds, so 0 is the same second and 27 years."""

NOTHING_BEFORE = STEPS
"""The step of an event, or of a query, that has nothing before it."""

DAY_PARTS, HOURS_OF_A_PART = 4, 6
SATURDAY = 6
DAY = 86_400
MONDAY = 4 * DAY
"""1970 began on a Thursday; four days later a week did."""


def clock(times: F64) -> U8:
    """Hour of day and weekday, both from 1, Monday first: [..., CLOCK] uint8. 0 is left for a time not known."""
    told = np.empty((*np.shape(times), CLOCK), np.uint8)
    spans.clock(plain(np.asarray(times, np.float64).reshape(-1)), MONDAY, told.reshape(-1, CLOCK))
    return told


def steps(seconds: F64) -> I64:
    """On the scale; clocks that disagree give negative spans, which count as none: [...] int64."""
    whole = np.clip(np.nan_to_num(seconds), 0, 2.0**STEPS)
    held: I64 = np.minimum(np.frexp(whole + 1)[1] - 1, STEPS - 1).astype(np.int64)
    return held


def gaps(histories: Histories) -> I64:
    """The step from the event before to each event: [B, H] int64, NOTHING_BEFORE at the first."""
    after = np.empty(histories.items.shape, np.int64)
    spans.gaps(plain(histories.items), plain(histories.times), STEPS, after)
    return after


def waits(histories: Histories) -> I64:
    """The step from each history's newest event to the moment asked about: [B] int64, NOTHING_BEFORE without one."""
    since = np.empty(len(histories), np.int64)
    spans.waits(plain(histories.items), plain(histories.times), plain(histories.now), STEPS, since)
    return since

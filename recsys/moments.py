"""Time as the models see it: how long between two events, on a logarithmic scale, and the hour and weekday in UTC.

Numpy only; one code, two callers.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from recsys.types import CLOCK, F64, I64, PAD, U8, Histories

STEPS = 28
"""Steps of the scale: step s holds 2^s - 1 to 2^(s+1) - 1 seconds, so 0 is the same second and 27 years."""

NOTHING_BEFORE = STEPS
"""The step of an event, or of a query, that has nothing before it."""

HOURS, WEEKDAYS = 24, 7
DAY_PARTS, HOURS_OF_A_PART = 4, 6
SATURDAY = 6
DAY = 86_400
MONDAY = 4 * DAY
"""1970 began on a Thursday; four days later a week did."""


def clock(times: F64) -> U8:
    """Hour of day and weekday, both from 1, Monday first: [..., CLOCK] uint8. 0 is left for a time not known."""
    since_monday = (times - MONDAY) % (WEEKDAYS * DAY)
    told = np.empty((*np.shape(times), CLOCK), np.uint8)
    told[..., 0] = since_monday % DAY // 3600 + 1
    told[..., 1] = since_monday // DAY + 1
    return told


def by_part(context: U8) -> U8:
    """A context with its clock told coarsely: quarter of the day, 1 to 4, and 1 for a weekday, 2 for the weekend."""
    coarse = context.copy()
    coarse[..., 0] = (context[..., 0] + HOURS_OF_A_PART - 1) // HOURS_OF_A_PART
    coarse[..., 1] = np.where(context[..., 1] == 0, 0, 1 + (context[..., 1] >= SATURDAY))
    return coarse


def steps(seconds: F64) -> I64:
    """On the scale; clocks that disagree give negative spans, which count as none: [...] int64."""
    scaled = np.log2(np.maximum(seconds, 0) + 1)
    held: I64 = np.minimum(scaled, STEPS - 1).astype(np.int64)
    return held


def gaps(histories: Histories) -> I64:
    """The step from the event before to each event: [B, H] int64, NOTHING_BEFORE at the first."""
    real = histories.items != PAD
    after = np.full(real.shape, NOTHING_BEFORE, np.int64)
    spans = steps(np.diff(histories.times, axis=1))
    after[:, 1:] = np.where(real[:, :-1] & real[:, 1:], spans, NOTHING_BEFORE)
    return after


def gap(histories: Histories) -> I64:
    """The last of `gaps`: [B] int64."""
    newest = replace(histories, items=histories.items[:, -2:], times=histories.times[:, -2:])
    return gaps(newest)[:, -1]


def waits(histories: Histories) -> I64:
    """The step from each history's newest event to the moment asked about: [B] int64, NOTHING_BEFORE without one."""
    somebody = histories.items[:, -1] != PAD
    return np.where(somebody, steps(histories.now - histories.times[:, -1]), NOTHING_BEFORE)

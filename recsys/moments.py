"""Time as the models see it: how long between two events, on a logarithmic scale. Numpy only; one code, two callers."""

from __future__ import annotations

import numpy as np

from recsys.types import F64, I64, PAD, Histories

STEPS = 28
"""Steps of the scale: step s holds 2^s - 1 to 2^(s+1) - 1 seconds, so 0 is the same second and 27 years."""

NOTHING_BEFORE = STEPS
"""The step of an event, or of a query, that has nothing before it."""


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


def waits(histories: Histories) -> I64:
    """The step from each history's newest event to the moment asked about: [B] int64, NOTHING_BEFORE without one."""
    somebody = histories.items[:, -1] != PAD
    return np.where(somebody, steps(histories.now - histories.times[:, -1]), NOTHING_BEFORE)

"""Popularity of items: their weighted interactions in a log, over all time and in the last days."""

from __future__ import annotations

import numpy as np

from recsys.types import F32
from training.encode.interaction_log import DAY, Log

HALF_LIFE = 7 * DAY


def popularity(log: Log) -> F32:
    """The weighted interactions of each item: [n] float32."""
    return np.bincount(log.items, log.weights, minlength=len(log.catalogue)).astype(np.float32)


def recency_popularity(log: Log) -> F32:
    """The weighted interactions of each item, halved for every HALF_LIFE before the log's end: [n] float32."""
    weight = log.weights * 0.5 ** ((log.end - log.times) / HALF_LIFE)
    return np.bincount(log.items, weight, minlength=len(log.catalogue)).astype(np.float32)

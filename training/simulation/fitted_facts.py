"""Facts of a real log that simulated users and items share with it: popularity skew, length of visits, new items."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd
from scipy.stats import norm

VISIT_SECONDS = 1_800
"""A pause of this length begins another visit."""

TOP = 0.1
"""The share of the items, the most popular ones, by which the skew is fitted."""

WEEK = 7 * 86_400


@dataclass(frozen=True, slots=True)
class Facts:
    """What is fitted. skew: the standard deviation of the logarithm of the items' popularity. visit: events of a visit,
    the mean. turnover: the share of a week's events whose item appears in that week for the first time.
    """

    skew: float
    visit: float
    turnover: float


def fit(log: pd.DataFrame) -> Facts:
    """The facts of a log with the columns user_id, item_id and timestamp (unix seconds).

    If popularity is lognormal with deviation s, the share of the events on the top share q of the items is
    Phi(s - z(1 - q)); this gives s. New items are counted in the second half of the weeks: in the first weeks of a log
    every item is new.
    """
    counts = log["item_id"].value_counts().to_numpy()
    of_top = counts[: int(len(counts) * TOP)].sum() / counts.sum()
    ordered = log.sort_values(["user_id", "timestamp"])
    begins = (ordered["user_id"] != ordered["user_id"].shift()) | (ordered["timestamp"].diff() > VISIT_SECONDS)
    week = (log["timestamp"] - log["timestamp"].min()) // WEEK
    is_new = week == week.groupby(log["item_id"]).transform("min")
    shares = is_new.groupby(week).mean()
    return Facts(
        skew=float(norm.ppf(of_top) + norm.ppf(1 - TOP)),
        visit=float(len(log) / begins.sum()),
        turnover=float(shares.iloc[len(shares) // 2 :].median()),
    )

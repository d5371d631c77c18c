"""The gate's checks of the ranker's scores: finite, different between items, and spread like those of the live model.

The gate decides whether a newly trained model may go live.
"""

from __future__ import annotations

import math

from training.evaluation.preview import Scores
from training.gate.check import Check, check

EVEN = 0.9
"""Share of queries whose candidates may all have the same score. An order by co-visitation is even for users without a
past; a ranker that lost its weights is even for all."""

INDEX = 0.25
"""Population stability index of the ranker's confidence; above it a distribution is commonly held to be another. On
MovieTweetings .03 to .09 between seeds, .04 to .13 after a tenth more of the log, 1.3 and more after twice the log, and
2.4 to 4.4 with the items shuffled."""


def score_checks(scores: Scores, which: str) -> list[Check]:
    """What holds of any ranker. which: the model that gave the scores."""
    queries = f"{scores.queries:,} queries to the model {which}"
    bound = math.floor(EVEN * scores.queries)
    finite = f"{queries}: {scores.broken:,} got scores that are no finite numbers; none may."
    different = f"{queries}: {scores.even:,} got the same score for every candidate; {bound:,} may."
    return [
        check(f"finite scores, {which}", not scores.broken, finite, scores.broken, 0),
        check(f"different scores, {which}", scores.even <= bound, different, scores.even, bound),
    ]


def spread_check(ours: Scores, theirs: Scores, live: str) -> Check:
    """The ranker's confidence, as shares of queries: scores are defined up to a shift of each list."""
    index, bound = stability(ours, theirs), INDEX + chance(ours, theirs)
    sentence = (
        f"spread of the scores: half of our queries put {median(ours):.2f} of their softmax or more on the first ten, "
        f"and live {live}'s {median(theirs):.2f}; the stability index is {index:.2f}, {bound:.2f} would pass."
    )
    return check("spread of the scores", index <= bound, sentence, round(index, 4), round(bound, 4))


def stability(ours: Scores, theirs: Scores) -> float:
    """Population stability index of two histograms. Half a query is added to each bar, so that no bar is empty."""
    a, b = ([(n + 0.5) / (sum(s.histogram) + 0.5 * len(s.histogram)) for n in s.histogram] for s in (ours, theirs))
    return sum((x - y) * math.log(x / y) for x, y in zip(a, b, strict=True))


def chance(ours: Scores, theirs: Scores) -> float:
    """What the index rarely exceeds if nothing changed: two standard deviations above its mean.

    For B bars and n and m queries it is about (1/n + 1/m) times a chi-square of B - 1 degrees of freedom (Yurdakul,
    "Statistical properties of population stability index", 2018).
    """
    free = len(ours.histogram) - 1
    each = 1 / max(sum(ours.histogram), 1) + 1 / max(sum(theirs.histogram), 1)
    return each * (free + 2 * math.sqrt(2 * free))


def median(scores: Scores) -> float:
    """The median of the histogram, interpolated within its bar."""
    half, seen, bars = sum(scores.histogram) / 2, 0, len(scores.histogram)
    for bar, count in enumerate(scores.histogram):
        if count and seen + count >= half:
            return (bar + (half - seen) / count) / bars
        seen += count
    return 0.0

"""The gate's checks of the ranker's scores: numbers, that tell items apart, spread as the live generation's are."""

from __future__ import annotations

import math

from training.evaluation.preview import Scores
from training.gate.check import Check, GateConfig, check


def score_checks(scores: Scores, which: str, config: GateConfig) -> list[Check]:
    """What holds of any ranker."""
    asked = f"{scores.queries:,} queries to the model {which}"
    numbers = f"{asked}: {scores.broken:,} got scores that are no finite numbers; none may."
    bound = math.floor(config.even * scores.queries)
    even = f"{asked}: {scores.even:,} got the same score for every candidate; {bound:,} may."
    return [
        check(f"finite scores, {which}", not scores.broken, numbers, scores.broken, 0),
        check(f"different scores, {which}", scores.even <= bound, even, scores.even, bound),
    ]


def spread_check(ours: Scores, theirs: Scores, live: str, config: GateConfig) -> Check:
    """How sure the ranker is, as shares of queries: scores themselves are defined up to a shift of each list."""
    index, bound = stability(ours, theirs), config.index + chance(ours, theirs)
    told = (
        f"spread of the scores: half of our queries put {typical(ours):.2f} of their softmax or more on the first ten, "
        f"and live {live}'s {typical(theirs):.2f}; the stability index is {index:.2f}, {bound:.2f} would pass."
    )
    return check("spread of the scores", index <= bound, told, round(index, 4), round(bound, 4))


def stability(ours: Scores, theirs: Scores) -> float:
    """Population stability index of two histograms, half a query added to each bar so that none is empty."""
    a, b = ([(n + 0.5) / (sum(s.histogram) + 0.5 * len(s.histogram)) for n in s.histogram] for s in (ours, theirs))
    return sum((x - y) * math.log(x / y) for x, y in zip(a, b, strict=True))


def chance(ours: Scores, theirs: Scores) -> float:
    """What the index hardly exceeds where nothing changed: two deviations above its mean.

    For B bars and n and m queries it is about (1/n + 1/m) times a chi-square of B - 1 degrees of freedom (Yurdakul,
    "Statistical properties of population stability index", 2018).
    """
    free = len(ours.histogram) - 1
    each = 1 / max(sum(ours.histogram), 1) + 1 / max(sum(theirs.histogram), 1)
    return each * (free + 2 * math.sqrt(2 * free))


def typical(scores: Scores) -> float:
    """The median, as the histogram's bars tell it."""
    half, seen, bars = sum(scores.histogram) / 2, 0, len(scores.histogram)
    for bar, count in enumerate(scores.histogram):
        if count and seen + count >= half:
            return (bar + (half - seen) / count) / bars
        seen += count
    return 0.0

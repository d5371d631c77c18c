"""The gate: may this generation go live? Knows figures, and neither models, data frames nor a store.

Two pure functions over values: `check_data` before anything is trained, `check_model` before the model is trained
again on everything. Each returns every check it made, passed ones too; a check says in a sentence what it compared.
docs/gate.md says the same to those who are refused.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from training.evaluation import BASELINES, METRICS, Evaluation, Row
from training.glimpse import Scores
from training.profile import AVAILABLE, DataProfile, Live

Verdict = Literal["passed", "failed", "not judged"]

SEGMENTS = {"": "all queries", "cold_": "cold users", "new_": "new items"}
"""Prefix of a segment's figures, and its name. Warm users are not asked apart: with the cold they are all."""


@dataclass(frozen=True, slots=True)
class GateConfig:
    """How much is too much.

    errors: standard errors within which a difference is noise; two are exceeded once in 40 times by chance.
    queries: fewer judge no segment. With 200 and a recall of .15, two standard errors are a third of the figure.
    tolerance: share of the live one's figure that may go besides noise, since every run has a test window of its own.
    least, most: rows, users and items as shares of the live one's. Half a log is a broken export and no quiet day;
    three times as many is a log that was joined twice, or another source. A day adds some percent.
    filled: share of the live one's filled values below which a column of the items has fallen out.
    even: share of queries whose candidates may all score the same. An order by co-visitation is even for users without
    a past; a ranker that died is even for all.
    index: population stability index of the ranker's sureness. Above .25 a distribution is commonly held to be another.
    """

    errors: float = 2.0
    queries: int = 200
    tolerance: float = 0.1
    least: float = 0.5
    most: float = 3.0
    filled: float = 0.8
    even: float = 0.9
    index: float = 0.25


@dataclass(frozen=True, slots=True)
class Check:
    """One comparison: our figure, the bound it had to keep (None where it was not judged), and a sentence with both."""

    name: str
    verdict: Verdict
    sentence: str
    ours: float | None = None
    bound: float | None = None


def failed(checks: Iterable[Check]) -> list[str]:
    """The sentences of the checks that failed."""
    return [check.sentence for check in checks if check.verdict == "failed"]


def check_data(data: DataProfile, live: Live | None, config: GateConfig = GateConfig()) -> list[Check]:
    """The log and the catalogue: no column of the items is empty, and nothing jumped since the live generation."""
    checks = [_column(column, share, data, live, config) for column, share in _columns(data, live).items()]
    if live is None:
        return checks
    old = live.data
    sizes = (("rows", data.rows, old.rows), ("users", data.users, old.users), ("items", data.items, old.items))
    return [*(_size(*size, live.id, config) for size in sizes), *checks]


def check_model(evaluation: Evaluation, live: Live | None, config: GateConfig = GateConfig()) -> list[Check]:
    """The metrics against the best baseline and the live generation, and the spread of the ranker's scores."""
    checks = [
        check
        for segment in SEGMENTS
        for metric in METRICS
        for check in _metric(evaluation, live, segment, metric, config)
    ]
    return [*checks, *_scores(evaluation, live, config)]


def _size(name: str, ours: int, theirs: int, live: str, config: GateConfig) -> Check:
    low, high = math.ceil(theirs * config.least), math.floor(theirs * config.most)
    bound = high if ours > theirs else low
    told = f"{name}: {ours:,}; live {live} has {theirs:,}, and from {low:,} to {high:,} would pass."
    return Check(name, "passed" if low <= ours <= high else "failed", told, ours, bound)


def _columns(data: DataProfile, live: Live | None) -> dict[str, float]:
    """Our filled shares, with nothing for a column that only the live one has."""
    return dict.fromkeys(live.data.filled if live else (), 0.0) | dict(data.filled)


def _column(column: str, ours: float, data: DataProfile, live: Live | None, config: GateConfig) -> Check:
    what = "available items" if column == AVAILABLE else f"items with a value in column {column}"
    name, rows = f"column {column}", max(data.described, 1)
    theirs = live.data.filled.get(column) if live else None
    if live is None or theirs is None:
        told = f"{what}: {ours:.1%} of {data.described:,}; more than none are needed."
        return Check(name, "passed" if ours > 0 else "failed", told, ours, 0.0)
    noise = config.errors * math.sqrt(theirs * (1 - theirs) / rows)
    bound = max(config.filled * theirs - noise, 0.0)
    told = f"{what}: {ours:.1%} of {data.described:,}; live {live.id} has {theirs:.1%}, {bound:.1%} are needed."
    return Check(name, "passed" if ours >= bound and ours > 0 else "failed", told, ours, bound)


def _metric(
    evaluation: Evaluation, live: Live | None, segment: str, metric: str, config: GateConfig
) -> Iterator[Check]:
    """One metric of one segment, against the best baseline and against the live generation."""
    row, key = evaluation.served, segment + metric
    ours, queries = row.get(key), row.get(f"{segment}queries") or 0
    name = f"{metric}, {SEGMENTS[segment]}"
    enough = not segment or queries >= config.queries
    if ours is None or not enough:
        if segment:
            told = f"{name}: {queries:,.0f} queries, fewer than the {config.queries} that judge a segment."
            yield Check(name, "not judged", told, ours)
        else:
            yield Check(name, "failed", f"{name}: nothing was measured.")
        return
    best = max((b for b in BASELINES if b in evaluation.rows), key=lambda b: evaluation.rows[b].get(key) or 0.0)
    theirs = evaluation.rows[best]
    figure = theirs.get(key) or 0.0
    head = f"{name}: {ours:.4f}; the best baseline, {best}, has {figure:.4f}"
    if segment or evaluation.order:
        bound = figure - config.errors * _error(row, theirs, segment, metric)
        why = "" if segment else " while there is too little to teach a ranker"
        told = f"{head}, and {bound:.4f} ({config.errors:g} standard errors below) is enough{why}."
        yield Check(f"{name}, baseline", "passed" if ours >= bound else "failed", told, ours, bound)
    else:
        told = f"{head} and has to be beaten."
        yield Check(f"{name}, baseline", "passed" if ours > figure else "failed", told, ours, figure)
    if live is not None:
        yield _against_live(name, evaluation, live, segment, metric, ours, config)


def _against_live(
    name: str, evaluation: Evaluation, live: Live, segment: str, metric: str, ours: float, config: GateConfig
) -> Check:
    theirs = live.served.get(segment + metric)
    enough = not segment or (live.served.get(f"{segment}queries") or 0) >= config.queries
    if theirs is None or not enough or live.protocol != evaluation.protocol:
        told = f"{name}: {ours:.4f}; live {live.id} has no figure to compare it with."
        return Check(f"{name}, live", "not judged", told, ours)
    noise = config.errors * _error(evaluation.served, live.served, segment, metric)
    bound = (1 - config.tolerance) * theirs - noise
    told = (
        f"{name}: {ours:.4f}; live {live.id} has {theirs:.4f}, and {bound:.4f} "
        f"({config.tolerance:.0%} and {config.errors:g} standard errors below) is enough."
    )
    return Check(f"{name}, live", "passed" if ours >= bound else "failed", told, ours, bound)


def _error(one: Row, other: Row, segment: str, metric: str) -> float:
    """Standard error of a difference; on the same queries it is less, so this lets pass rather than refuses."""
    key = f"{segment}se_{metric}"
    return math.hypot(one.get(key) or 0.0, other.get(key) or 0.0)


def _scores(evaluation: Evaluation, live: Live | None, config: GateConfig) -> Iterator[Check]:
    if evaluation.glimpse is None:
        return
    scores = evaluation.glimpse.scores
    told = f"queries with scores that are no finite numbers, or with no candidates: {scores.broken:,} of "
    told += f"{scores.queries:,}; none may be."
    yield Check("finite scores", "failed" if scores.broken else "passed", told, scores.broken, 0)
    bound = config.even * scores.queries
    told = f"queries whose candidates all score the same: {scores.even:,} of {scores.queries:,}; {bound:,.0f} may."
    yield Check("scores that tell apart", "failed" if scores.even > bound else "passed", told, scores.even, bound)
    if live is None or live.scores is None or evaluation.order:
        return
    ours, bound = stability(scores, live.scores), config.index + chance(scores, live.scores)
    told = (
        f"spread of the scores: {_median(scores)} of the softmax is on the first ten of a typical query, live "
        f"{live.id} has {_median(live.scores)}; the stability index is {ours:.2f}, and up to {bound:.2f} passes."
    )
    yield Check("spread of the scores", "passed" if ours <= bound else "failed", told, round(ours, 4), round(bound, 4))


def stability(ours: Scores, theirs: Scores) -> float:
    """Population stability index of two histograms, half a query added to each bar so that none is empty."""
    a, b = ([(n + 0.5) / (sum(s.histogram) + 0.5 * len(s.histogram)) for n in s.histogram] for s in (ours, theirs))
    return sum((x - y) * math.log(x / y) for x, y in zip(a, b, strict=True))


def chance(ours: Scores, theirs: Scores) -> float:
    """What the index exceeds once in 40 times if nothing changed.

    For B bars and n and m queries it is about (1/n + 1/m) times a chi-square of B - 1 degrees of freedom (Yurdakul,
    "Statistical properties of population stability index", 2018).
    """
    free = len(ours.histogram) - 1
    return (1 / max(sum(ours.histogram), 1) + 1 / max(sum(theirs.histogram), 1)) * (free + 2 * math.sqrt(2 * free))


def _median(scores: Scores) -> str:
    """The bar that holds the middle query, as a share."""
    half, seen = sum(scores.histogram) / 2, 0
    for bar, count in enumerate(scores.histogram):
        seen += count
        if seen >= half:
            return f"{bar / len(scores.histogram):.0%} to {(bar + 1) / len(scores.histogram):.0%}"
    return "nothing"

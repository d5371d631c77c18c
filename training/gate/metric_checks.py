"""The gate's checks of the metrics: a new model has to beat the best baseline and be not much worse than the live one.

The gate decides whether a newly trained model may go live. The metrics are recall@10 and NDCG@10.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from training.evaluation.metric_table import BASELINES, METRICS, Comparison, Evaluation
from training.gate.check import NOISE, Check, check
from training.gate.dataset_profile import LiveGeneration

SEGMENTS = {"": "all queries", "cold_": "cold users", "new_": "new items"}
"""Prefix of a segment's figures, and its name. Warm users have no check: with the cold users they are all queries."""

IMPERSONAL = ("popularity", "recency_popularity")
"""The baselines that use no history. A model that does not beat them has learned nothing of any user."""

LEAD = 1.0
"""Standard errors by which the best baseline has to be beaten over all queries. Without a lead, chance decides: on
MovieTweetings with its items shuffled, where only popularity can be learned, the two stages had .1041/.0534 and the
best baselines .1052/.0553, with errors of .0032/.0019."""

QUERIES = 200
"""Fewer queries judge no segment. With 200 and a recall of .15, two standard errors are a third of the figure."""

TELLING = 1_000
"""Fewer queries over all can't tell better from equal: with 1,000 and a recall of .2, two standard errors are an eighth
of it. Then popularity has to be beaten, and the other baselines may be ahead by noise: a ring of 300 users (360
queries) has .758/.710 where EASE has .758/.582."""

TOLERANCE = 0.1
"""Share of the live generation's figure that may be lost besides noise. The live generation may have learned from newer
events than the tested towers: that costs 5 % on MovieTweetings with 7 % newer events."""

Figures = Mapping[str, float | None]


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric of one segment. prefix: of the segment's figures."""

    prefix: str
    metric: str

    def of(self, figures: Figures) -> float | None:
        """The metric among a model's figures."""
        return figures.get(self.prefix + self.metric)

    def error(self, one: Figures, other: Figures) -> float:
        """Standard error of a difference. Models with the same queries differ by less, so a check passes more often."""
        key = f"{self.prefix}se_{self.metric}"
        return math.hypot(one.get(key) or 0.0, other.get(key) or 0.0)

    def judged(self, figures: Figures) -> bool:
        """Whether there are enough queries: always over all queries."""
        return not self.prefix or (figures.get(f"{self.prefix}queries") or 0) >= QUERIES


def metric_checks(evaluation: Evaluation, live: LiveGeneration | None) -> list[Check]:
    """Both metrics, over all queries and of each segment that has enough queries."""
    metrics = [Metric(prefix, metric) for prefix in SEGMENTS for metric in METRICS]
    return [each for metric in metrics for each in _of_metric(metric, evaluation, live)]


def _of_metric(metric: Metric, evaluation: Evaluation, live: LiveGeneration | None) -> Iterator[Check]:
    name, ours = f"{metric.metric}, {SEGMENTS[metric.prefix]}{evaluation.of_targets}", metric.of(evaluation.served)
    if not metric.judged(evaluation.served):
        queries = evaluation.served.get(f"{metric.prefix}queries") or 0
        yield Check(name, "not judged", f"{name}: {queries:.0f} queries, and {QUERIES} would judge them.", ours)
    elif ours is None:
        yield Check(name, "failed", f"{name}: nothing was measured.")
    else:
        yield from _against_baselines(name, ours, metric, evaluation)
        if live is not None:
            yield _against_live(name, metric, evaluation, live)


def _against_baselines(name: str, ours: float, metric: Metric, evaluation: Evaluation) -> Iterator[Check]:
    """Over all queries the best baseline has to be beaten, or the best impersonal baseline if the queries are few.

    A segment, and a simple order in place of a ranker, may be behind by noise.
    """
    figures = {model: metric.of(evaluation.rows[model]) or 0.0 for model in BASELINES if model in evaluation.rows}
    best = max(figures, key=lambda model: figures[model])
    impersonal = max(
        (model for model in IMPERSONAL if model in figures), key=lambda model: figures[model], default=best
    )
    if not metric.prefix and not evaluation.order:
        few = evaluation.target_queries < TELLING
        if not few or impersonal == best:
            yield _beaten(name, "best baseline", ours, best, metric, evaluation)
            return
        yield _beaten(name, impersonal, ours, impersonal, metric, evaluation)
    if metric.prefix and not figures[best]:
        sentence = f"{name}: {ours:.4f}, and every baseline has 0: there is nothing to be behind."
        yield Check(f"{name}, best baseline", "not judged", sentence, ours)
        return
    bound = max(figures[best] - NOISE * metric.error(evaluation.served, evaluation.rows[best]), 0.0)
    why = ""
    if not metric.prefix:
        too_few = f", as {evaluation.target_queries:,} queries can't show more"
        why = ", as there is too little data to train a ranker" if evaluation.order else too_few
    sentence = (
        f"{name}: {ours:.4f}, and the best baseline, {best}, has {figures[best]:.4f}; {bound:.4f} would pass, "
        f"{NOISE:g} standard errors of the difference below{why}."
    )
    yield check(f"{name}, best baseline", ours >= bound, sentence, ours, bound)


def _beaten(name: str, rival: str, ours: float, model: str, metric: Metric, evaluation: Evaluation) -> Check:
    """Whether a baseline is beaten by more than chance. rival: the baseline in the name of the check."""
    called = model if rival == model else f"the {rival}, {model},"
    theirs = metric.of(evaluation.rows[model]) or 0.0
    bound = theirs + LEAD * metric.error(evaluation.served, evaluation.rows[model])
    sentence = (
        f"{name}: {ours:.4f}, and {called} has {theirs:.4f}; more than {bound:.4f} would pass, {LEAD:g} standard error "
        "of the difference above."
    )
    return check(f"{name}, {rival}", ours > bound, sentence, ours, bound)


def _against_live(name: str, metric: Metric, evaluation: Evaluation, live: LiveGeneration) -> Check:
    """Against the live generation's figure of the same queries; if these are too few, of its own test's queries."""
    compared = evaluation.comparison or Comparison(live.id, reason="live was not scored")
    ours, theirs = compared.ours, compared.theirs
    basis = f"on {compared.queries:,} queries that neither learned from"
    judged = metric.judged(theirs)
    if compared.queries < QUERIES:
        few = f"live could be scored on {compared.queries:,} queries of this test, and {QUERIES} would do"
        ours, theirs = evaluation.served, live.served
        basis = f"on the queries of its own test, since {compared.reason or few}"
        same = (live.protocol, live.targets) == (evaluation.protocol, evaluation.targets)
        judged = same and metric.judged(theirs)
    mine, other = metric.of(ours), metric.of(theirs)
    if mine is None or other is None or not judged:
        sentence = f"{name}: live {live.id} has no figure to compare with, {basis}."
        return Check(f"{name}, live", "not judged", sentence, mine)
    bound = max((1 - TOLERANCE) * other - NOISE * metric.error(ours, theirs), 0.0)
    sentence = (
        f"{name}: {mine:.4f}, and live {live.id} has {other:.4f} {basis}; {bound:.4f} would pass, {TOLERANCE:.0%} and "
        f"{NOISE:g} standard errors below."
    )
    return check(f"{name}, live", mine >= bound, sentence, mine, bound)

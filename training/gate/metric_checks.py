"""The gate's checks of the metrics: better than the best baseline, and not much worse than what is live."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

from training.evaluation.metric_table import BASELINES, METRICS, Comparison, Evaluation
from training.gate.check import Check, GateConfig, check
from training.gate.dataset_profile import Live

SEGMENTS = {"": "all queries", "cold_": "cold users", "new_": "new items"}
"""Prefix of a segment's figures, and its name. Warm users have no check of their own: with the cold they are all."""

Figures = Mapping[str, float | None]

IMPERSONAL = ("popularity", "recency_popularity")
"""The baselines that know no user. Whoever can't beat them has learned nothing of anybody."""


def metric_checks(evaluation: Evaluation, live: Live | None, config: GateConfig) -> list[Check]:
    """Both metrics, over all queries and of each segment that has enough of them."""
    return [
        each
        for prefix in SEGMENTS
        for metric in METRICS
        for each in _of_metric(evaluation, live, prefix, metric, config)
    ]


def _of_metric(
    evaluation: Evaluation, live: Live | None, prefix: str, metric: str, config: GateConfig
) -> Iterator[Check]:
    name, ours = f"{metric}, {SEGMENTS[prefix]}{evaluation.of_targets}", evaluation.served.get(prefix + metric)
    if prefix and not _enough(evaluation.served, prefix, config):
        queries = evaluation.served.get(f"{prefix}queries") or 0
        yield Check(name, "not judged", f"{name}: {queries:.0f} queries, and {config.queries} would judge them.", ours)
    elif ours is None:
        yield Check(name, "failed", f"{name}: nothing was measured.")
    else:
        yield from _against_baselines(name, ours, evaluation, prefix, metric, config)
        if live is not None:
            yield _against_live(name, evaluation, live, prefix, metric, config)


def _against_baselines(
    name: str, ours: float, evaluation: Evaluation, prefix: str, metric: str, config: GateConfig
) -> Iterator[Check]:
    """Over all queries the best baseline has to be beaten, or where they are few the best impersonal one.

    For a segment, and for a simple order in a ranker's place, it is enough not to be behind by more than noise.
    """
    rows = {model: evaluation.rows[model] for model in BASELINES if model in evaluation.rows}

    def figure(model: str) -> float:
        return rows[model].get(prefix + metric) or 0.0

    def beaten(model: str, called: str, which: str) -> Check:
        bound = figure(model) + config.lead * _error(evaluation.served, rows[model], prefix, metric)
        sentence = (
            f"{name}: {ours:.4f}, and {called} has {figure(model):.4f}; more than {bound:.4f} would pass, "
            f"{config.lead:g} standard error of the difference above."
        )
        return check(f"{name}, {which}", ours > bound, sentence, ours, bound)

    best, impersonal = max(rows, key=figure), max((m for m in IMPERSONAL if m in rows), key=figure, default=None)
    strict, few = not prefix and not evaluation.order, evaluation.judged < config.telling
    if strict and few and impersonal and impersonal != best:
        yield beaten(impersonal, impersonal, impersonal)
        strict = False
    if strict:
        yield beaten(best, f"the best baseline, {best},", "best baseline")
        return
    if prefix and not figure(best):
        sentence = f"{name}: {ours:.4f}, and every baseline has 0: there is nothing to be behind."
        yield Check(f"{name}, best baseline", "not judged", sentence, ours)
        return
    bound = max(figure(best) - config.errors * _error(evaluation.served, rows[best], prefix, metric), 0.0)
    why = "" if prefix else f", as {evaluation.judged:,} queries tell no more"
    why = ", as there is too little data to teach a ranker" if evaluation.order and not prefix else why
    sentence = (
        f"{name}: {ours:.4f}, and the best baseline, {best}, has {figure(best):.4f}; {bound:.4f} would pass, "
        f"{config.errors:g} standard errors of the difference below{why}."
    )
    yield check(f"{name}, best baseline", ours >= bound, sentence, ours, bound)


def _against_live(name: str, evaluation: Evaluation, live: Live, prefix: str, metric: str, config: GateConfig) -> Check:
    """Against the live generation's figure of the same queries; where there are too few, of its own test's queries."""
    compared = evaluation.comparison or Comparison(live.id, reason="live was not scored")
    ours, theirs = compared.ours, compared.theirs
    basis = f"on {compared.queries:,} queries that neither learned from"
    judged = not prefix or _enough(theirs, prefix, config)
    if compared.queries < config.queries:
        few = f"live could be scored on {compared.queries:,} queries of this test, and {config.queries} would do"
        ours, theirs = evaluation.served, live.served
        basis = f"on the queries of its own test, since {compared.reason or few}"
        same = (live.protocol, live.targets) == (evaluation.protocol, evaluation.targets)
        judged = same and (not prefix or _enough(theirs, prefix, config))
    mine, other = ours.get(prefix + metric), theirs.get(prefix + metric)
    if mine is None or other is None or not judged:
        sentence = f"{name}: live {live.id} has no figure to compare with, {basis}."
        return Check(f"{name}, live", "not judged", sentence, mine)
    bound = max((1 - config.tolerance) * other - config.errors * _error(ours, theirs, prefix, metric), 0.0)
    sentence = (
        f"{name}: {mine:.4f}, and live {live.id} has {other:.4f} {basis}; {bound:.4f} would pass, "
        f"{config.tolerance:.0%} and {config.errors:g} standard errors below."
    )
    return check(f"{name}, live", mine >= bound, sentence, mine, bound)


def _enough(row: Figures, prefix: str, config: GateConfig) -> bool:
    return (row.get(f"{prefix}queries") or 0) >= config.queries


def _error(one: Figures, other: Figures, prefix: str, metric: str) -> float:
    """Standard error of a difference. It is less for two models with the same queries, so a check passes more often."""
    key = f"{prefix}se_{metric}"
    return math.hypot(one.get(key) or 0.0, other.get(key) or 0.0)

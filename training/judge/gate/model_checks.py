"""The gate's checks of a model: a new model has to beat the best baseline and be not much worse than the live one and
the best one of 30 days. Its scores are checked, and its slates against the logged ones.

The gate decides whether a newly trained model may go live. The metrics are recall@10 and NDCG@10.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from training.judge.gate.check import NOISE, Check, check
from training.judge.gate.dataset_profile import LiveGeneration
from training.judge.gate.past_generations import PastGeneration
from training.judge.metric_table import (
    BASELINES,
    METRICS,
    NEWEST,
    SE_DIFFERENCE,
    SERVED,
    TOWER,
    Comparison,
    Evaluation,
    Row,
)
from training.results import Refusal, Scores

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

BELOW = f"{TOLERANCE:.0%} and {NOISE:g} standard errors below"
BEST = "best of 30 days"

Figures = Mapping[str, float | None]


def metric_checks(evaluation: Evaluation, live: LiveGeneration | None) -> list[Check]:
    """Both metrics, over all queries and of each segment that has enough queries."""
    metrics = [Metric(evaluation, prefix, metric) for prefix in SEGMENTS for metric in METRICS]
    return [each for metric in metrics for each in metric.checks(live)]


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric of one segment of the tested model's queries. prefix: of the segment's figures."""

    evaluation: Evaluation
    prefix: str
    metric: str

    @property
    def name(self) -> str:
        """The metric, the segment and the event types, at the start of a sentence."""
        return f"{self.metric}, {SEGMENTS[self.prefix]}{self.evaluation.of_targets}"

    def of(self, figures: Figures) -> float | None:
        """The metric among a model's figures."""
        return figures.get(self.prefix + self.metric)

    def error(self, one: Figures, other: Figures) -> float:
        """Standard error of a difference: query by query, or of two models with different queries."""
        paired = other.get(f"{self.prefix}{SE_DIFFERENCE}{self.metric}")
        if paired is not None:
            return paired
        key = f"{self.prefix}se_{self.metric}"
        return math.hypot(one.get(key) or 0.0, other.get(key) or 0.0)

    def judged(self, figures: Figures) -> bool:
        """Whether there are enough queries: always over all queries."""
        return not self.prefix or (figures.get(f"{self.prefix}queries") or 0) >= QUERIES

    def checks(self, live: LiveGeneration | None) -> Iterator[Check]:
        """The checks against the baselines and the live generation."""
        served = self.evaluation.served
        ours = self.of(served)
        if not self.judged(served):
            queries = served.get(f"{self.prefix}queries") or 0
            sentence = f"{self.name}: {queries:.0f} queries, and {QUERIES} would judge them."
            yield Check(self.name, "not judged", sentence, ours)
        elif ours is None:
            yield Check(self.name, "failed", f"{self.name}: nothing was measured.")
        else:
            yield from self._against_baselines(ours)
            if live is not None:
                yield self._against_live(live)
                yield from self._against_best(live)

    def _against_baselines(self, ours: float) -> Iterator[Check]:
        """Over all queries the best baseline has to be beaten, or the best impersonal baseline if the queries are few.

        A segment, and a simple order in place of a ranker, may be behind by noise.
        """
        rows, queries, order = self.evaluation.rows, self.evaluation.target_queries, self.evaluation.order
        figures = {model: self.of(rows[model]) or 0.0 for model in BASELINES if model in rows}
        best = max(figures, key=lambda model: figures[model])
        why = ""
        if not self.prefix and order:
            why = ", as there is too little data to train a ranker"
        elif not self.prefix:
            impersonal = [model for model in IMPERSONAL if model in figures] or [best]
            rival = best if queries >= TELLING else max(impersonal, key=lambda model: figures[model])
            yield self._beaten(ours, rival, "best baseline" if rival == best else rival)
            if rival == best:
                return
            why = f", as {queries:,} queries can't show more"
        name = f"{self.name}, best baseline"
        if self.prefix and not figures[best]:
            sentence = f"{self.name}: {ours:.4f}, and every baseline has 0: there is nothing to be behind."
            yield Check(name, "not judged", sentence, ours)
            return
        bound = max(figures[best] - NOISE * self.error(self.evaluation.served, rows[best]), 0.0)
        sentence = (
            f"{self.name}: {ours:.4f}, and the best baseline, {best}, has {figures[best]:.4f}; {bound:.4f} would pass, "
            f"{NOISE:g} standard errors of the difference below{why}."
        )
        yield check(name, ours >= bound, sentence, ours, bound)

    def _beaten(self, ours: float, model: str, rival: str) -> Check:
        """Whether a baseline is beaten by more than chance. rival: the baseline in the name of the check."""
        row = self.evaluation.rows[model]
        called, theirs = model if rival == model else f"the {rival}, {model},", self.of(row) or 0.0
        bound = theirs + LEAD * self.error(self.evaluation.served, row)
        sentence = (
            f"{self.name}: {ours:.4f}, and {called} has {theirs:.4f}; more than {bound:.4f} would pass, {LEAD:g} "
            "standard error of the difference above."
        )
        return check(f"{self.name}, {rival}", ours > bound, sentence, ours, bound)

    def _against_live(self, live: LiveGeneration) -> Check:
        """Against the live generation's figure of the same queries; if these are too few, of its own test's queries."""
        evaluation = self.evaluation
        compared = evaluation.comparison or Comparison(live.id, reason="live was not scored")
        ours, theirs = compared.ours, compared.theirs
        basis = f"on {compared.queries:,} queries that neither learned from"
        judged = self.judged(theirs)
        if compared.queries < QUERIES:
            few = f"live could be scored on {compared.queries:,} queries of this test, and {QUERIES} would do"
            ours, theirs = evaluation.served, live.served
            basis = f"on the queries of its own test, since {compared.reason or few}"
            same = (live.protocol, live.targets) == (evaluation.protocol, evaluation.targets)
            judged = same and self.judged(theirs)
        return self._not_much_worse("live", f"live {live.id}", ours, theirs if judged else {}, basis)

    def _against_best(self, live: LiveGeneration) -> Iterator[Check]:
        """Against the best generation of 30 days: on the same queries, or by leads over a baseline if it is gone."""
        compared = self.evaluation.best
        if compared is None:
            return
        rival = f"{compared.live}, the {BEST},"
        if compared.queries >= QUERIES:
            basis = f"on {compared.queries:,} queries that neither learned from"
            theirs = compared.theirs if self.judged(compared.theirs) else {}
            yield self._not_much_worse(BEST, rival, compared.ours, theirs, basis)
        elif not self.prefix:
            best = next(each for each in live.past if each.id == compared.live)
            reason = compared.reason or f"{compared.queries:,} queries are too few to score it on"
            yield self._leads(best, rival, reason)

    def _not_much_worse(self, name: str, rival: str, ours: Figures, theirs: Figures, basis: str) -> Check:
        """Against another generation's figure. name: the end of the check's name. basis: the queries, in words."""
        name, mine, other = f"{self.name}, {name}", self.of(ours), self.of(theirs)
        if mine is None or other is None:
            sentence = f"{self.name}: {rival} has no figure to compare with, {basis}."
            return Check(name, "not judged", sentence, mine)
        bound = max((1 - TOLERANCE) * other - NOISE * self.error(ours, theirs), 0.0)
        sentence = f"{self.name}: {mine:.4f}, and {rival} has {other:.4f} {basis}; {bound:.4f} would pass, {BELOW}."
        return check(name, mine >= bound, sentence, mine, bound)

    def _leads(self, best: PastGeneration, rival: str, reason: str) -> Check:
        """The lead over a baseline, against the lead over the same baseline that a generation had in its own test."""
        name, row = f"{self.name}, {BEST}", self.evaluation.rows.get(best.baseline, {})
        ours, theirs = self._lead(self.evaluation.served, row), self._lead(best.served, best.beaten)
        if ours is None or theirs is None:
            sentence = f"{self.name}: {rival} has no lead over {best.baseline} to compare with, since {reason}."
            return Check(name, "not judged", sentence)
        (mine, my_error), (other, error) = ours, theirs
        bound = max((1 - TOLERANCE) * other - NOISE * math.hypot(my_error, error), 0.0)
        sentence = (
            f"{self.name}: {mine:.2f} times {best.baseline}, and {rival} had {other:.2f} times in its own test, since "
            f"{reason}; {bound:.2f} would pass, {BELOW}."
        )
        return check(name, mine >= bound, sentence, mine, bound)

    def _lead(self, served: Figures, baseline: Figures) -> tuple[float, float] | None:
        """The served model's figure as a multiple of a baseline's, and its standard error; None without a figure."""
        ours, theirs = self.of(served), self.of(baseline)
        if ours is None or not theirs:
            return None
        lead, key = ours / theirs, f"{self.prefix}se_{self.metric}"
        mine, other = ((row.get(key) or 0.0) ** 2 for row in (served, baseline))
        # The variance of ours - lead * theirs: the variance of the difference holds the covariance of both.
        variance = (1 - lead) * mine + lead * (lead - 1) * other + lead * self.error(served, baseline) ** 2
        return lead, math.sqrt(max(variance, 0.0)) / theirs


def impression_checks(evaluation: Evaluation) -> list[Check]:
    """The ranker with impressions beside the one without, on held-out slates.

    A ranker that is worse with impressions does not serve, so the check fails no run.
    """
    found = evaluation.impressions
    if found is None:
        return []
    if found.reason:
        return [Check("impressions", "not judged", found.sentence)]
    return [Check("impressions", "passed", found.sentence, found.ours, found.theirs)]


EVEN = 0.9
"""Share of queries whose candidates may all have the same score. An order by co-visitation is even for users without a
past; a ranker that lost its weights is even for all."""


def newest_checks(evaluation: Evaluation, published: Mapping[str, Row]) -> list[Check]:
    """The model to publish beside the tested one, on the newest test events, by the towers alone and by both stages.

    The model to publish learned from these events and the tested one did not, so its figures should be higher.
    """
    checks = []
    for model in (TOWER, SERVED):
        for metric in METRICS:
            theirs = evaluation.rows[model]
            mine, other = published[model].get(metric) or 0.0, theirs.get(f"{NEWEST}_{metric}") or 0.0
            bound = max((1 - TOLERANCE) * other - NOISE * (theirs.get(f"{NEWEST}_se_{metric}") or 0.0), 0.0)
            sentence = (
                f"{metric} of {model}, the newest {theirs.get(f'{NEWEST}_queries') or 0:,.0f} queries of the test: "
                f"{mine:.4f} by the model trained on everything, which learned them, and {other:.4f} by the tested "
                f"model, which did not; {bound:.4f} would pass, {BELOW}."
            )
            checks.append(check(f"{metric} of {model}, trained on everything", mine >= bound, sentence, mine, bound))
    return checks


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


NAME = "explored slates"


def policy_checks(evaluation: Evaluation) -> list[Check]:
    """Whether users may take as much of the tested model's slates as they took of the logged ones.

    Without an estimate nothing is judged.
    """
    if evaluation.policy is None:
        return []
    found, notes = evaluation.policy.found, evaluation.policy.notes
    if isinstance(found, Refusal):
        return [Check(NAME, "not judged", " ".join([f"{NAME}: {found.sentence}", *notes]))]
    high = round(found.difference.high, 4)
    sentence = (
        f"{NAME}: {found.doubly_robust.value:.4f} items taken in {found.scope} by the tested model, and "
        f"{found.logged.value:.4f} by the logged policy, on {evaluation.policy.slates:,} slates; the 95 % interval of "
        f"the difference ends at {high:.4f}, 0 would pass."
    )
    return [check(NAME, high >= 0, sentence, high, 0.0)]

"""The gate's checks of what a model returns: the scores of its ranker, and the model to publish beside the tested one.

The gate decides whether a newly trained model may go live.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from training.judge.gate.check import NOISE, Check, check
from training.judge.gate.model_checks import BELOW, TOLERANCE
from training.judge.metric_table import METRICS, NEWEST, SERVED, TOWER, Evaluation, Row
from training.judge.preview import Scores

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

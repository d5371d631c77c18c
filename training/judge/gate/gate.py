"""The gate: decide by checks of the data, the metrics and the scores whether a newly trained model may go live.

The checks are pure functions of values, one for each moment of a run: `check_data` before anything is trained,
`check_model` before the tested model is trained again on all data, `check_trained` before that model is published. Each
returns all its checks, also those that passed. docs/gate.md explains a refusal.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from recsys.generation.manifest import FORMAT
from training.judge.gate.check import Check
from training.judge.gate.data_checks import data_checks
from training.judge.gate.dataset_profile import DataProfile, LiveGeneration
from training.judge.gate.model_checks import (
    QUERIES,
    impression_checks,
    metric_checks,
    newest_checks,
    policy_checks,
    score_checks,
)
from training.judge.gate.past_generations import PastGeneration, better, quality
from training.judge.metric_table import Evaluation, Row
from training.results import Scores


def check_data(data: DataProfile, live: LiveGeneration | None) -> list[Check]:
    """Checks of the log and the items: what no dataset should have, and what jumped since the live generation."""
    other = comparable(data, live)
    checks = data_checks(data, other)
    if live is not None and other is None:
        sentence = f"live {live.id} was made from {live.data.name}, this run from {data.name}: nothing to compare with."
        if live.format != FORMAT:
            sentence = (
                f"live {live.id} has format {live.format}, this run makes format {FORMAT}: nothing to compare with."
            )
        checks.append(Check("the live generation", "not judged", sentence))
    return checks


def check_model(evaluation: Evaluation, data: DataProfile, live: LiveGeneration | None) -> list[Check]:
    """Checks of the metrics against the best baseline and the live generation, and of the ranker's scores."""
    other = comparable(data, live)
    checks = [*metric_checks(evaluation, other), *impression_checks(evaluation), *policy_checks(evaluation)]
    if evaluation.preview is None:
        return checks
    return [*checks, *score_checks(evaluation.preview.scores, "tested")]


def check_trained(scores: Scores, evaluation: Evaluation, published: Mapping[str, Row]) -> list[Check]:
    """Checks of the model to publish. It learned from every event, so no test measures it.

    published: its rows of the metric table on the newest test events, beside those of the tested model.
    """
    return [*score_checks(scores, "trained on everything"), *newest_checks(evaluation, published)]


def better_before(
    live: LiveGeneration | None, data: DataProfile, evaluation: Evaluation, now: float
) -> Sequence[PastGeneration]:
    """What the manifest of a new generation keeps of those before it: the better ones in the same kind of test."""
    other = comparable(data, live)
    if other is None or (other.protocol, other.targets) != (evaluation.protocol, evaluation.targets):
        return []
    compared = [each for each in (evaluation.comparison, evaluation.best) if each and each.queries >= QUERIES]
    measured = {each.live: quality(each.theirs) > quality(each.ours) for each in compared}
    return better(other.past, evaluation.served, now, measured)


def comparable(data: DataProfile, live: LiveGeneration | None) -> LiveGeneration | None:
    """The live generation if it has this format and was made from the dataset of this name."""
    return live if live is not None and (live.format, live.data.name) == (FORMAT, data.name) else None

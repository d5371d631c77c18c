"""The gate: may this generation go live? Knows figures, and neither models, tables nor a store.

Pure functions over values, each for what is known at one moment of a run: `check_data` before anything is trained,
`check_model` before the tested model is trained again on everything, `check_trained` before that is published. Each
returns all it checked, passed ones too, and a check says in a sentence what it compared. docs/gate.md is for those who
are refused.
"""

from __future__ import annotations

from recsys.generation.manifest import FORMAT
from training.evaluation.metric_table import Evaluation
from training.evaluation.preview import Scores
from training.gate.check import Check, GateConfig
from training.gate.data_checks import data_checks
from training.gate.dataset_profile import DataProfile, Live
from training.gate.metric_checks import metric_checks
from training.gate.score_checks import score_checks, spread_check

DEFAULT = GateConfig()


def check_data(data: DataProfile, live: Live | None, config: GateConfig = DEFAULT) -> list[Check]:
    """The log and the catalogue: what no dataset should have, and what jumped since the live generation."""
    other = comparable(data, live)
    checks = data_checks(data, other, config)
    if live is not None and other is None:
        told = f"live {live.id} was made from {live.data.name}, this run from {data.name}: nothing to compare with."
        if live.format != FORMAT:
            told = f"live {live.id} has format {live.format}, this run makes format {FORMAT}: nothing to compare with."
        checks.append(Check("the live generation", "not judged", told))
    return checks


def check_model(
    evaluation: Evaluation, data: DataProfile, live: Live | None, config: GateConfig = DEFAULT
) -> list[Check]:
    """The metrics against the best baseline and the live generation, and the ranker's scores."""
    other = comparable(data, live)
    checks = metric_checks(evaluation, other, config)
    if evaluation.preview is None:
        return checks
    scores = evaluation.preview.scores
    checks += score_checks(scores, "tested", config)
    if other is not None and other.scores is not None and not evaluation.order:
        same = evaluation.comparison
        if same and same.queries >= config.queries and same.our_scores and same.their_scores:
            checks.append(spread_check(same.our_scores, same.their_scores, other.id, config))
        else:
            checks.append(spread_check(scores, other.scores, other.id, config))
    return checks


def check_trained(scores: Scores, config: GateConfig = DEFAULT) -> list[Check]:
    """What would go out: its scores are numbers and tell items apart, although no test can measure it any more."""
    return score_checks(scores, "trained on everything", config)


def comparable(data: DataProfile, live: Live | None) -> Live | None:
    """The live generation if it has this format and was made from the same dataset, by name."""
    return live if live is not None and (live.format, live.data.name) == (FORMAT, data.name) else None

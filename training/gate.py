"""The gate: may this generation go live? Knows figures, and neither models, tables nor a store.

Pure functions over values, each for what is known at one moment of a run: `check_data` before anything is trained,
`check_model` before the tested model is trained again on everything, `check_trained` before that is published. Each
returns all it checked, passed ones too, and a check says in a sentence what it compared. docs/gate.md is for those who
are refused.
"""

from __future__ import annotations

import math

from recsys.generation import FORMAT
from training.check import Check, GateConfig, check
from training.evaluation import Evaluation
from training.glimpse import Scores
from training.metric_checks import metric_checks
from training.profile import AVAILABLE, DataProfile, Live
from training.score_checks import score_checks, spread_check

DEFAULT = GateConfig()


def check_data(data: DataProfile, live: Live | None, config: GateConfig = DEFAULT) -> list[Check]:
    """The log and the catalogue: no column of the items is empty, and nothing jumped since the live generation."""
    other = comparable(data, live)
    checks = [_column(column, data, other, config) for column in sorted({*data.filled, *_filled(other)})]
    if other is not None:
        old = other.data
        sizes = (("rows", data.rows, old.rows), ("users", data.users, old.users), ("items", data.items, old.items))
        return [*(_size(*size, other.id, config) for size in sizes), *checks]
    if live is not None:
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
    if evaluation.glimpse is None:
        return checks
    scores = evaluation.glimpse.scores
    checks += score_checks(scores, "tested", config)
    if other is not None and other.scores is not None and not evaluation.order:
        checks.append(spread_check(scores, other.scores, other.id, config))
    return checks


def check_trained(scores: Scores, config: GateConfig = DEFAULT) -> list[Check]:
    """What would go out: its scores are numbers and tell items apart, although no test can measure it any more."""
    return score_checks(scores, "trained on everything", config)


def comparable(data: DataProfile, live: Live | None) -> Live | None:
    """The live generation if it has this format and was made from the same dataset, by name."""
    return live if live is not None and (live.format, live.data.name) == (FORMAT, data.name) else None


def _size(name: str, ours: int, theirs: int, live: str, config: GateConfig) -> Check:
    low, high = math.ceil(theirs * config.least), math.floor(theirs * config.most)
    told = f"{name}: {ours:,}, and live {live} has {theirs:,}; {low:,} to {high:,} would pass."
    return check(name, low <= ours <= high, told, ours, high if ours > theirs else low)


def _filled(live: Live | None) -> dict[str, float]:
    return dict(live.data.filled) if live else {}


def _column(column: str, data: DataProfile, live: Live | None, config: GateConfig) -> Check:
    """One column of the items; one that only the live generation had is empty here."""
    ours, theirs = data.filled.get(column, 0.0), _filled(live).get(column)
    what = "items that are available" if column == AVAILABLE else f"items with a value in column {column}"
    told = f"{what}: {ours:.1%} of {data.items:,}"
    if live is None or theirs is None:
        return check(f"column {column}", ours > 0, f"{told}; none would be refused.", ours, 0.0)
    noise = config.errors * math.sqrt(theirs * (1 - theirs) / max(data.items, 1))
    bound = max(config.filled * theirs - noise, 0.0)
    told += f", and live {live.id} has {theirs:.1%}; {bound:.1%} would pass."
    return check(f"column {column}", ours >= bound and (ours > 0 or not theirs), told, ours, bound)

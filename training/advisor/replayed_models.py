"""Replay queries with models of the last day and of the last week: their item tables (such as popularity and neighbours
of items) know the log until then.

The towers and the ranker stay those of the evaluation: training them again for many moments takes hours.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from recsys.model.ranker import RankerNet
from recsys.types import I64
from training.encode.interaction_log import DAY
from training.encode.protocols import QUERY_SEED
from training.encode.split import Split
from training.fit.first_stage import FirstStage
from training.judge.replayed_queries import ReplayedQueries
from training.judge.replayed_slates import ReplayedService
from training.progress import StepProgress, no_step

AGES = (DAY, 7 * DAY)
"""Seconds between two trainings."""

DAYS = 8
"""Days that are replayed: tables are built for each. Eight of MovieTweetings take 91 s on two busy cores."""

Realtime = Callable[[ReplayedService, I64], I64]
"""The places of the targets of some queries in slates that a service makes at the request."""


@dataclass(frozen=True)
class StaleModels:
    """queries: those of the drawn days. places: of their targets, by age. notes: sentences on what was measured."""

    queries: ReplayedQueries
    places: dict[float, I64]
    notes: tuple[str, ...]


def stale_models(
    parts: Split,
    stage: FirstStage,
    net: RankerNet,
    queries: ReplayedQueries,
    realtime: Realtime,
    progress: StepProgress = no_step,
) -> StaleModels:
    """The places of the targets of the queries of some days, by the age of the models."""
    # A day with more queries is more likely to be drawn: the last days of a log may have one each.
    days = [*dict.fromkeys(np.random.default_rng(QUERY_SEED).permutation(queries.moments(DAY)).tolist())]
    drawn = days[:DAYS]
    some = np.flatnonzero(np.isin(queries.moments(DAY), drawn))
    moments = {age: queries.moments(age)[some] for age in AGES}
    each = np.unique(np.concatenate([*moments.values()]))
    places = {age: np.empty(len(some), np.int64) for age in AGES}
    for done, moment in enumerate(each.tolist()):
        progress(done / len(each), f"{done} of {len(each)} tables")
        service = _service_at(parts, stage, net, moment)
        for age in AGES:
            here = moments[age] == moment
            places[age][here] = realtime(service, some[here])
    note = (
        f"Trained models were replayed on {len(drawn)} of {len(days)} days, at 1d and 7d, and compared with those of "
        "1d. Their item tables were made anew; their towers and ranker stayed those of the evaluation."
    )
    return StaleModels(queries.take(some), places, (note,))


def _service_at(parts: Split, stage: FirstStage, net: RankerNet, moment: float) -> ReplayedService:
    """The models under test with tables of every event before a moment, and of what the models know already."""
    known = parts.known_to_test(moment)
    return ReplayedService.of(known, stage.rebuilt(known), net, parts.log)

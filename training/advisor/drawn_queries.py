"""The queries that `python -m training advise` replays, drawn from the test events of an evaluation, and their replay
with models of the last day and of the last week, whose item tables know the log until then.

The towers and the ranker stay those of the evaluation: training them again for many moments takes hours.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from recsys.model.ranker import RankerNet
from recsys.types import I64, Bool
from training.encode.interaction_log import DAY, SESSION_GAP, Log
from training.encode.protocols import QUERY_SEED
from training.encode.split import Split
from training.fit.first_stage import FirstStage
from training.judge.replay import ReplayedModel
from training.judge.replayed_queries import ReplayedQueries
from training.progress import StepProgress, no_step

HEAVY_SHARE = 0.1
"""The share of users, by their events before the test, that are the most active ones."""


def draw_queries(parts: Split, most: int) -> ReplayedQueries:
    """At most `most` of the test events of target types, each the target of one query; the same for every age."""
    log = parts.log
    chosen = np.flatnonzero(log.targets[parts.test])
    if len(chosen) > most:
        chosen = np.sort(np.random.default_rng(QUERY_SEED).choice(chosen, most, replace=False))
    events = parts.test[chosen]
    queries = ReplayedQueries(log, log.first_touch[events], log.items[events], {})
    warm = parts.warm[chosen]
    segments: dict[str, Bool] = {
        "all": np.ones(len(events), bool),
        "warm": warm,
        "cold": ~warm,
        "in_session": _in_session(queries),
        "heavy": _most_active(parts.before_test)[queries.users],
    }
    return replace(queries, segments=segments)


def _in_session(queries: ReplayedQueries) -> Bool:
    """Which queries are within half an hour after an event of their user: [Q]."""
    log, counts = queries.log, queries.known(0)
    order, _ = log.by_user
    before = order[np.maximum(queries.ends - 1, 0)]
    found: Bool = (counts > 0) & (queries.times - log.times[before] <= SESSION_GAP)
    return found


def _most_active(log: Log) -> Bool:
    """Which users are among the most active, of those with an event: [U]."""
    events = np.bincount(log.users, minlength=len(log.user_ids))
    known = np.sort(events[events > 0])
    least = known[int(len(known) * (1 - HEAVY_SHARE))] if len(known) else 0
    found: Bool = events >= max(least, 1)
    return found


AGES = (DAY, 7 * DAY)
"""Seconds between two trainings."""

DAYS = 8
"""Days that are replayed: tables are built for each. Eight of MovieTweetings take 91 s on two busy cores."""

Realtime = Callable[[ReplayedModel, I64], I64]
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


def _service_at(parts: Split, stage: FirstStage, net: RankerNet, moment: float) -> ReplayedModel:
    """The models under test with tables of every event before a moment, and of what the models know already."""
    known = parts.known_to_test(moment)
    return ReplayedModel.of(known, stage.rebuilt(known), net, parts.log)

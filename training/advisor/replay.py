"""Measure freshness curves: replay the test of an evaluation as if the user's history, the precomputed list or the
trending items were made every day, 6 hours, hour, 15 minutes or minute, or at each request.

`python -m training advise --data DIR` calls `measure`. The slates (ordered lists of items) are made by the functions
that serve requests.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from recsys.lists.user_list import UserList
from recsys.slates.query import Query
from recsys.types import F64, I32, I64, Mode, Source
from training.advisor.curves import SEGMENTS, FreshnessCurve, Measurement, MetricByAge, What
from training.advisor.drawn_queries import draw_queries, stale_models
from training.encode.interaction_log import DAY, encode
from training.judge.metric_table import K
from training.judge.replay import ReplayedModel, places_of
from training.judge.replayed_queries import ReplayedQueries, Trends
from training.progress import StepProgress, no_step
from training.ranking_metrics import mean_and_error, ndcg, recall
from training.read.dataset import Dataset
from training.recipe import TrainingRun, own_split, stage_before_test, train_ranker

AGES = (0.0, 60.0, 900.0, 3_600.0, 6 * 3_600.0, DAY)
"""Seconds between two times at which a part is made; 0: at each request."""

PARTS: tuple[What, ...] = ("history", "list", "list_ranked", "trending")
"""The parts that are replayed at each of AGES. `replayed_models` replays the models."""

QUERIES = 2_000
"""Test events that are replayed, at most."""

CHUNK = 100
"""Queries of which all slates are made before the next: they are held in memory together."""


def measure(dataset: Dataset, run: TrainingRun, most: int = QUERIES) -> Measurement:
    """The curves of a dataset, with the models of its evaluation. They are trained if `run` has no files of them.

    Each query is one event at its time, also where the dataset is evaluated on all later items of a user.
    """
    log = encode(dataset)
    parts = own_split(dataset, log, run.config)
    ranker = train_ranker(parts, run)
    stage = stage_before_test(parts, ranker, run)
    tested = parts if parts.protocol == "rolling" else own_split(dataset, log, run.config, "rolling")
    queries = draw_queries(tested, most)
    with run.progress.step("replay of the test") as step:
        replay = Replay.of(queries, ReplayedModel.of(tested.before_test, stage, ranker.net, tested.log))
        fresh, replayed = replay.run(step)
    curves: list[FreshnessCurve] = []
    for what, places in replayed.items():
        curves += curves_of(what, places, fresh, queries, dataset.exact_times)
    with run.progress.step("replay with older item tables") as step:
        models = stale_models(tested, stage, ranker.net, queries, replay.realtime, step)
    curves += curves_of("model", models.places, models.places[DAY], models.queries, dataset.exact_times)
    users = len(np.unique(log.users))
    return Measurement(
        dataset.name, users, int(parts.ranked.sum()), len(queries), dataset.exact_times, tuple(curves), models.notes
    )


@dataclass(frozen=True)
class Replay:
    """Makes the slates of queries from parts of each age.

    known: the number of the user's events that a query knows, by the age of its history: [Q]. trending: the rows of
    the trending items of each query, by their age.
    """

    queries: ReplayedQueries
    service: ReplayedModel
    known: Mapping[float, I64]
    trending: Mapping[float, Sequence[tuple[int, ...]]]

    @classmethod
    def of(cls, queries: ReplayedQueries, service: ReplayedModel) -> Replay:
        """The replay of the queries at each of AGES."""
        trends = Trends(queries.log, float(queries.times.min()) - DAY)
        known = {age: queries.known(age) for age in AGES}
        return cls(queries, service, known, {age: trends.of(queries, age) for age in AGES})

    def realtime(self, service: ReplayedModel, some: I64) -> I64:
        """The places of the targets of some queries in slates that a service makes at the request."""
        other = replace(self, service=service)
        return other.places([other.query(at) for at in some], some)

    def run(self, progress: StepProgress = no_step) -> tuple[I64, dict[What, dict[float, I64]]]:
        """The places of the targets in slates that are made at the request, and by part and age."""
        count = len(self.queries)
        fresh = np.empty(count, np.int64)
        found = {what: {age: np.empty(count, np.int64) for age in AGES} for what in PARTS}
        for start in range(0, count, CHUNK):
            some = np.arange(start, min(start + CHUNK, count))
            fresh[some] = self.realtime(self.service, some)
            for age in AGES:
                for what, places in self._replay(some, age, fresh).items():
                    found[what][age][some] = places
            progress((start + len(some)) / count, f"{start + len(some):,} queries")
        return fresh, found

    def _replay(self, some: I64, age: float, fresh: I64) -> dict[What, I64]:
        """The places of the targets of some queries by part, for parts of one age."""
        lists = self.lists(some, age)
        served = [self.query(at, mode=Mode.BATCH, listed=each) for at, each in zip(some, lists, strict=True)]
        ranked = [self.query(at, mode=Mode.HYBRID, listed=each) for at, each in zip(some, lists, strict=True)]
        # Where the part is the same as at the request, so is the slate.
        other_history = some[self.known[age][some] != self.known[0.0][some]]
        other_trends = some[[self.trending[age][at] != self.trending[0.0][at] for at in some]]
        histories, trends = fresh.copy(), fresh.copy()
        histories[other_history] = self.places([self.query(at, history=age) for at in other_history], other_history)
        trends[other_trends] = self.places([self.query(at, trends=age) for at in other_trends], other_trends)
        return {
            "history": histories[some],
            "list": self.places(served, some),
            "list_ranked": self.places(ranked, some),
            "trending": trends[some],
        }

    def query(
        self,
        at: int,
        history: float = 0.0,
        trends: float = 0.0,
        mode: Mode = Mode.REALTIME,
        listed: UserList | None = None,
    ) -> Query:
        """A query whose models read the user's events and the trending items of these ages. Seen items have no age."""
        queries = self.queries
        record, old = (queries.record(at, int(self.known[age][at])) for age in (0.0, history))
        return self.service.query(
            queries.user_id(at),
            K,
            float(queries.times[at]),
            record,
            read=old,
            context=queries.contexts[at],
            mode=mode,
            extra=dict.fromkeys(self.trending[trends][at], int(Source.TRENDING)),
            listed=listed,
        )

    def lists(self, some: I64, age: float) -> list[UserList | None]:
        """The list of each user that a flow makes every `age` seconds; None for a user without an event until then."""
        moments = self.queries.moments(age)
        found: list[UserList | None] = []
        for at in some:
            trending = self.trending[age][at]
            record = self.queries.record(at, int(self.known[age][at]))
            maker = replace(self.service.list_maker, trending=trending)
            known = len(record.seen) > 0
            found += maker.make([(record, ())], float(moments[at])) if known else [None]
        return found

    def places(self, queries: Sequence[Query], some: I64) -> I64:
        """The places of the targets of the queries `some` in their slates."""
        self.service.answer(queries)
        return places_of(queries, self.queries.targets[some])


def curves_of(
    what: What, outcomes: Mapping[float, I64], fresh: I64, queries: ReplayedQueries, exact: bool
) -> list[FreshnessCurve]:
    """The curve of a part in each segment that has queries. fresh: the places in slates that are made at the request.

    exact: whether the log's times are exact. If they are not, only ages of a day and more are judged, and age 0.
    """
    ages = sorted(outcomes)
    curves = []
    for segment in SEGMENTS:
        mask = queries.segments.get(segment)
        if mask is None or not mask.any():
            continue
        users, best = queries.users[mask], fresh[mask]
        of_ages = [outcomes[age][mask] for age in ages]
        curves.append(
            FreshnessCurve(
                what,
                segment,
                int(mask.sum()),
                tuple(ages),
                tuple(exact or age == 0 or age >= DAY for age in ages),
                _metric(recall, of_ages, best, users),
                _metric(ndcg, of_ages, best, users),
            )
        )
    return curves


def _metric(metric: Callable[[I64, I64, int], F64], of_ages: list[I64], fresh: I64, users: I32) -> MetricByAge:
    """A metric at each age, and what it loses against slates that are made at the request."""
    each = np.arange(len(fresh))
    best = metric(fresh, each, K)
    values = [metric(places, each, K) for places in of_ages]
    means, losses = ([mean_and_error(row, users) for row in rows] for rows in (values, [best - row for row in values]))
    mean, se = zip(*means, strict=True)
    loss, loss_se = zip(*losses, strict=True)
    return MetricByAge(mean, se, loss, loss_se)

"""The recommender: a handler for each endpoint, such as recommend, which the HTTP and gRPC servers call."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

from pydantic import BaseModel

from recsys.fresh_items.catalogue_changes import CatalogueChanges
from recsys.slates.query import Query
from recsys.slates.served_generation import ServedGeneration
from recsys.store.redis.user_store import RedisUserStore
from recsys.types import Id
from service import schema
from service.experiments.request_arms import ForcedArm, forced_arm
from service.recommend.admission import Admission, overloaded
from service.recommend.arm_batchers import ArmBatchers
from service.recommend.batcher import RequestBatcher
from service.recommend.deadlines import Deadline
from service.recommend.guard import RESERVE
from service.recommend.overload import ListsUnderOverload
from service.schema import verb_table
from service.schema.verb_table import Verb
from service.settings import Settings
from service.telemetry import flow_runs, lost_entries, metrics, slate_metrics
from service.verbs import answer_models, queries
from service.verbs.dependencies import Dependencies
from service.verbs.queries import Situation
from service.verbs.status import status
from service.verbs.vocabulary import known_row

Handler = Callable[[Any, Deadline, ForcedArm | None], Awaitable[BaseModel]]
"""Takes a request, its deadline, and the arm that a person chose; returns the answer."""


class Recommender:
    """Answers requests to every endpoint from the generation in force."""

    query_kind: type[Query] = Query

    def __init__(
        self,
        dependencies: Dependencies,
        store: RedisUserStore,
        settings: Settings,
        check: Callable[[BaseModel], None] | None = None,
        check_forced: Callable[[], None] | None = None,
    ) -> None:
        """check: raises QueryError for a request that its key does not allow; None if requests need no key.

        check_forced: the same for a request that forces an arm.
        """
        self._dependencies = dependencies
        self._store = store
        self._settings = settings
        self._check, self._check_forced = check, check_forced
        self._counted: CatalogueChanges | None = None
        enrich, finish = dependencies.pipeline.enrich, dependencies.pipeline.finish
        self._batchers = ArmBatchers(lambda: RequestBatcher(enrich, finish, settings.max_batch, settings.max_in_flight))
        self._seconds = settings.deadline_ms / 1000
        self._admission = Admission(self._seconds, settings.max_under_way)
        self._lists = ListsUnderOverload(dependencies.pipeline)
        self._handlers = self._table()
        for code in (500, 503, "INTERNAL", "UNAVAILABLE"):
            metrics.timed(verb_table.RECOMMEND.name, code)  # a counter at 0, so that the first failure is an increase

    @property
    def dependencies(self) -> Dependencies:
        """The parts that the recommender calls, for the data of the pages."""
        return self._dependencies

    @property
    def ready(self) -> bool:
        """Whether a generation is in force."""
        return self._dependencies.switcher.ready

    @property
    def unready(self) -> str | None:
        """Why no generation is in force, for /readyz; None if one is."""
        return self._dependencies.switcher.unready

    @property
    def live(self) -> ServedGeneration:
        """The generation in force, with the items put since (PUT /items); NoGeneration if there is none."""
        live = self._dependencies.switcher.live().with_items(self._dependencies.items.current)
        if live.fresh is not self._counted:
            self._counted = live.fresh
            metrics.count_segment(live.fresh)
        return live

    @property
    def live_if_ready(self) -> ServedGeneration | None:
        """The generation in force; None if there is none."""
        return self.live if self.ready else None

    @property
    def trending_at(self) -> float:
        """When the trending items were computed, unix seconds; 0 without any."""
        return self._dependencies.trending.made_at

    def admit(self, verb: Verb[Any], seconds: float | None = None) -> Deadline:
        """The deadline of a request that arrives now, and whose client waits `seconds`.

        QueryError `overloaded` while too many slates are in flight. A server calls it before it reads a request. A
        request to /recommend is refused later, because the user may have a list.
        """
        if verb.timed and self._admission.full and (verb is not verb_table.RECOMMEND or self._lists.full):
            raise overloaded()
        return Deadline.of_now(seconds)

    async def answer(
        self, verb: Verb[Any], request: BaseModel, deadline: Deadline, forced: Sequence[str | bytes] = ()
    ) -> BaseModel:
        """The answer to a request. forced: the values of the header that forces an arm."""
        return await self._handlers[verb](request, deadline, self.permit(request, forced))

    def permit(self, request: BaseModel, forced: Sequence[str | bytes] = ()) -> ForcedArm | None:
        """The arm that the values of a header force; QueryError for a request that its key does not allow."""
        if self._check:
            self._check(request)
        if forced and self._check_forced:
            self._check_forced()
        return forced_arm(forced)

    def _table(self) -> dict[Verb[Any], Handler]:
        users, items = self._dependencies.users, self._dependencies.items
        return {
            verb_table.RECOMMEND: self._slates,
            verb_table.SIMILAR: self.similar,
            verb_table.EXPLAIN: self.explain,
            verb_table.RANK: self.rank,
            verb_table.EVENTS: lambda request, *_: users.add_events(request.events, self.live_if_ready),
            verb_table.ITEMS: lambda request, *_: items.put(request.items, self.live),
            verb_table.ITEM: lambda request, *_: items.show(request.item_id, self.live),
            verb_table.FORGET_ITEM: lambda request, *_: items.forget(request.item_id, self.live),
            verb_table.USER: lambda request, *_: users.show(request.user_id, self.live),
            verb_table.FORGET: lambda request, *_: users.forget(request.user_id),
            verb_table.MERGE: lambda request, *_: users.merge(request.user_id, request.into, self.live),
            verb_table.STATUS: self._status,
        }

    async def _slates(
        self, request: schema.RecommendRequest, deadline: Deadline, forced: ForcedArm | None
    ) -> schema.SlatesResponse:
        made = await self.recommend(request, deadline, forced)
        return schema.SlatesResponse.model_construct(slates=[answer_models.slate(query) for query in made])

    async def recommend(
        self, request: schema.RecommendRequest, deadline: Deadline, forced: ForcedArm | None = None
    ) -> list[Query]:
        """The answered query of each user, in the order of the request. One generation answers all users of an arm."""
        situation = self._situation(request.surface, deadline, forced)
        users = [request.user_id] if request.user_ids is None else request.user_ids
        has_list = request.user_id is not None
        if not (has_list or self._admission.admits(len(users))):
            raise overloaded()
        made = [self._slate_query(request, user, situation) for user in users]
        list_first = has_list and (self._lists.preferred or not self._admission.admits(1))
        if list_first and not await self._lists.answer(made[0]):
            made, list_first = [self._slate_query(request, users[0], situation)], False
        if not list_first:
            await self._make(made)
        self._observe(made, deadline)
        if request.log_impression and situation.surface.log_impressions:
            for query in made:
                self._dependencies.impressions.note(query)
        return made

    async def rank(
        self, request: schema.RankRequest, deadline: Deadline, forced: ForcedArm | None = None
    ) -> schema.RankResponse:
        """The items of the request, the best first. No impression is logged: the caller has chosen the items."""
        situation, build = self._situation(request.surface, deadline, forced), partial(queries.to_rank, request)
        query, unknown = self._dependencies.arms.query(request, request.user_id, situation, build)
        await self._make([query])
        self._observe([query], deadline, "rank")
        return answer_models.ranked(query, unknown)

    async def similar(self, request: schema.SimilarRequest, deadline: Deadline, *_: object) -> schema.SimilarResponse:
        """The items most similar to an item, the most similar first. Of the rules only the filters apply.

        The live generation answers: similar items take part in no experiment.
        """
        situation = self._situation(request.surface, deadline)
        row = known_row(request.item_id, situation.generation)
        query = queries.for_similar(request, situation)
        with self._admission.slates(1):
            if request.user_id is not None:
                await self._dependencies.pipeline.hydrate([query])
            await self._dependencies.similar.find(query, row)
        self._observe([query], deadline, "similar")
        return answer_models.similar(query, request.item_id)

    async def explain(
        self, request: schema.ExplainRequest, deadline: Deadline, forced: ForcedArm | None = None
    ) -> schema.ExplainResponse:
        """Why an item has its place in a user's slate, or why the slate lacks the item."""
        query = self._slate_query(request, request.user_id, self._situation(request.surface, deadline, forced))
        row = known_row(request.item_id, query.generation)
        query.traced = True
        with self._admission.slates(1, adapts=False):  # reasons take longer than a slate
            explained = await self._dependencies.explainer.explain(query, row)
        self._observe([query], deadline, "explain")
        return explained

    @asynccontextmanager
    async def traced_slate(
        self, request: schema.RecommendRequest, deadline: Deadline, forced: ForcedArm | None = None
    ) -> AsyncIterator[Query]:
        """The answered query of one user, with what was removed. No impression is logged: no user sees the slate.

        The place in admission is held until the caller has the reasons of the slate, which a model computes too.
        """
        query = self._slate_query(request, request.user_id, self._situation(request.surface, deadline, forced))
        query.traced = True
        with self._admission.slates(1, adapts=False):  # reasons take longer than a slate
            await self._dependencies.pipeline.run([query])
            self._observe([query], deadline, "explain")
            yield query

    async def _status(self, *_: object) -> schema.StatusResponse:
        parts = self._dependencies
        return status(parts.switcher.follower, self.live_if_ready, parts.pipeline, parts.surfaces, self._settings)

    async def follow(self) -> None:
        """Follow the live generation, trending items, surfaces and counts, and log impressions. Does not return."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._dependencies.switcher.follow())
            group.create_task(self._dependencies.trending.follow())
            group.create_task(self._dependencies.impressions.follow())
            group.create_task(self._dependencies.arms.follow())
            group.create_task(lost_entries.follow(self._store))
            group.create_task(flow_runs.follow(self._dependencies.runs))
            group.create_task(self._dependencies.surfaces.follow(lambda: self.live_if_ready))

    async def settled(self) -> None:
        """Return when the first generation is in force, or when none can be for now."""
        await self._dependencies.switcher.settled()

    async def finish(self) -> None:
        """Log the last impressions and finish the deletion of users. Call it after the last request."""
        await asyncio.gather(self._dependencies.impressions.flush(), self._dependencies.users.finish())

    async def close(self) -> None:
        """Close the connections."""
        await asyncio.to_thread(self._dependencies.switcher.follower.stop)
        await self._store.close()
        self._dependencies.runs.close()
        await self._dependencies.items.close()

    def _situation(self, surface: str, deadline: Deadline, forced: ForcedArm | None = None) -> Situation:
        """The generation in force for a request of a surface; QueryError for an unknown surface."""
        served = self._dependencies.surfaces.of(surface)
        return Situation(self.live, served, deadline.within(served.seconds), time.time(), self.query_kind, forced)

    def _slate_query(
        self, request: schema.RecommendRequest | schema.ExplainRequest, user_id: Id | None, situation: Situation
    ) -> Query:
        """The query of a user's slate, pinned to the user's arms."""

        def build(pinned: Situation) -> Query:
            query = queries.for_slate(request, user_id, pinned)
            trending = self._dependencies.trending
            query.extra, query.extra_made = trending.rows(pinned.generation, pinned.now), trending.made_at
            return query

        return self._dependencies.arms.query(request, user_id, situation, build)

    async def _make(self, made: Sequence[Query]) -> None:
        """Make the slates of one request; QueryError `overloaded` if it is not admitted."""
        with self._admission.slates(len(made)):
            try:
                await self._batchers.submit(made, made[0].due - RESERVE)
            except Exception:
                self._dependencies.arms.note_error(made)
                raise

    def _observe(self, made: Sequence[Query], deadline: Deadline, verb: str = "") -> None:
        """Record how long the slates of a request took. verb: the label in place of the mode, beside /recommend."""
        seconds = time.monotonic() - deadline.arrived
        for query in made:
            self._dependencies.arms.note(query, None if verb else seconds)
            metrics.slate_timed(query.surface, verb or query.made_by)(seconds)
            if verb != "explain":
                slate_metrics.count_ages(query)
            if not verb:
                slate_metrics.count_slate(query)

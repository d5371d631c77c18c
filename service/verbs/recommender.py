"""The recommender behind both doors: the verbs. Knows no HTTP, no gRPC and no BentoML."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass

from recsys.segment import FreshSegment
from recsys.store.base import UserStore
from recsys.types import Id
from service import schema
from service.generations.served import ServedGeneration
from service.generations.switcher import Succession
from service.recommend.admission import Admission
from service.recommend.batcher import Coalescer
from service.recommend.pace import Pace
from service.recommend.pipeline import RESERVE, Pipeline
from service.recommend.query import Query
from service.settings import Settings
from service.telemetry import metrics
from service.verbs import answers
from service.verbs.explain import Explainer
from service.verbs.impressions import ImpressionLog
from service.verbs.items import ItemDesk
from service.verbs.rules import Rulebook
from service.verbs.similar import SimilarItems
from service.verbs.trending import TrendingItems
from service.verbs.users import UserDesk, event, refuse_future
from service.verbs.vocabulary import check_types, checked_context, checked_filter, known_row


@dataclass(frozen=True, slots=True)
class Desks:
    """Who does what, behind the recommender."""

    pipeline: Pipeline
    succession: Succession
    users: UserDesk
    items: ItemDesk
    similar: SimilarItems
    explainer: Explainer
    trending: TrendingItems
    impressions: ImpressionLog
    rules: Rulebook


class Recommender:
    """Answers every verb from the generation in force.

    query_kind: what its queries are. due: when an answer must be there, by the monotonic clock; `due()` gives it.
    """

    query_kind: type[Query] = Query

    def __init__(self, desks: Desks, store: UserStore, settings: Settings) -> None:
        self._desks = desks
        self._store = store
        self._settings = settings
        self._counted: FreshSegment | None = None
        self._coalescer = Coalescer(
            desks.pipeline.run,
            desks.pipeline.at_once,
            settings.max_batch,
            settings.max_in_flight,
            Pace.of(settings),
            spare=2 if settings.topology == "split" else 0,
        )
        self._admission = Admission(settings.deadline_ms / 1000, settings.max_under_way)

    @property
    def ready(self) -> bool:
        """Whether a generation is in force."""
        return self._desks.succession.in_force is not None

    @property
    def unready(self) -> str | None:
        """Why no generation is in force, in a sentence that anybody may read; None where one is."""
        return self._desks.succession.unready

    @property
    def full(self) -> bool:
        """Whether so many slates are under way that whoever comes now is to come back later."""
        return self._admission.full

    @property
    def live(self) -> ServedGeneration:
        """The generation in force, with the items put since; NoGeneration where there is none."""
        live = self._desks.succession.live.with_items(self._desks.items.current)
        if live.fresh is not self._counted:
            self._counted = live.fresh
            metrics.count_segment(live.fresh)
        return live

    def due(self, seconds: float | None = None) -> float:
        """When an answer must be there that is wanted within so many seconds, or within what the settings say."""
        most = self._settings.deadline_ms / 1000
        return time.monotonic() + (most if seconds is None else min(seconds, most))

    async def recommend(self, request: schema.RecommendRequest, due: float) -> list[Query]:
        """The answered query of one user, or of each of several in their order; each from one generation."""
        generation, now = self.live, time.time()
        users = [request.user_id] if request.user_ids is None else request.user_ids
        queries = [self._query(request, user, generation, due, now) for user in users]
        with self._admission.slates(len(queries)):
            await self._coalescer.submit(queries, due - RESERVE)
        for query in queries:
            self._note(query, request.log_impression)
        return queries

    async def similar(self, request: schema.SimilarRequest, due: float) -> schema.SimilarResponse:
        """The items most like one, the likest first whatever the rules put elsewhere."""
        generation = self.live
        row = known_row(request.item_id, generation)
        query = self.query_kind(
            generation,
            request.user_id,
            request.k,
            due,
            exclude=list(request.exclude),
            filter=checked_filter(request.filter, generation),
            rules=self._desks.rules.of(generation).filters,
        )
        if request.user_id is not None:
            await self._desks.pipeline.hydrate(query)
        await self._desks.similar.find(query, row)
        return answers.likes(query, request.item_id)

    async def explain(self, request: schema.ExplainRequest, due: float) -> schema.ExplainResponse:
        """Why an item stands where it does in a user's slate, or why it does not."""
        generation = self.live
        row = known_row(request.item_id, generation)
        query = self._query(request, request.user_id, generation, due, time.time())
        query.traced = True
        return await self._desks.explainer.explain(query, row)

    async def add_events(self, events: Sequence[schema.Event]) -> schema.EventsResponse:
        """Store events; the next `recommend` of these users knows them."""
        return await self._desks.users.add_events(events, self.live if self.ready else None)

    async def user(self, user_id: Id) -> schema.UserResponse:
        """What is stored of a user."""
        return await self._desks.users.show(user_id, self.live)

    async def forget(self, user_id: Id) -> schema.ForgottenResponse:
        """Remove a user from everything that is stored, from what waits to be, and from what would be asked again."""
        self._desks.impressions.forget(user_id)
        self._desks.succession.forget(user_id)
        return await self._desks.users.forget(user_id)

    async def merge(self, user_id: Id, into: Id) -> schema.MergedResponse:
        """Give what a user did to another user, and forget the first; the next `recommend` of the other knows it."""
        live = self.live
        self._desks.impressions.forget(user_id)
        self._desks.succession.forget(user_id)
        return await self._desks.users.merge(user_id, into, live)

    async def put_items(self, items: Sequence[schema.Item]) -> schema.ItemsResponse:
        """Store items; within a second or so every process knows them, and hides what is not available any more."""
        return await self._desks.items.put(items, self.live)

    async def item(self, item_id: Id) -> schema.ItemResponse:
        """What is known of an item."""
        return await self._desks.items.show(item_id, self.live)

    async def forget_item(self, item_id: Id) -> schema.ForgottenItemResponse:
        """Drop what was put of an item; within a second or so every process has it as the generation's tables do."""
        return await self._desks.items.forget(item_id, self.live)

    def status(self) -> schema.StatusResponse:
        """What is in force, and which process holds what."""
        succession = self._desks.succession
        served, adopter = self.live if self.ready else None, succession.adopter
        outlook, fresh = adopter.outlook, served.fresh if served else None
        return schema.StatusResponse(
            ready=served is not None,
            generation=served.id if served else None,
            live=outlook.live,
            topology=self._settings.topology,
            store=outlook.fault or "ok",
            away=succession.away,
            rules=self._desks.rules.told(served),
            refused=succession.refused(),
            processes=[
                schema.Process(name=told.name, held=list(told.held)) for told in (adopter.holding, *outlook.processes)
            ],
            fresh_items=len(fresh.items) if fresh else 0,
            hidden_items=fresh.hidden_count if fresh else 0,
            event_types=list(served.spec.event_types) if served else [],
            data=served.manifest.data if served else {},
            metrics=served.manifest.metrics if served else {},
        )

    async def follow(self) -> None:
        """Adopt whatever goes live, and keep up with what is trending and what was shown, for ever."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._desks.succession.follow())
            group.create_task(self._desks.trending.follow())
            group.create_task(self._desks.impressions.follow())
            group.create_task(self._desks.rules.follow(lambda: self.live if self.ready else None))

    async def settled(self) -> None:
        """Return when it is known what is answered from at first, or that it may take a while yet."""
        await self._desks.succession.settled()

    async def finish(self) -> None:
        """Do what was promised: log what was shown, and forget who is to be forgotten. For when no more is asked."""
        await asyncio.gather(self._desks.impressions.flush(), self._desks.users.close())

    async def close(self) -> None:
        """Let go of connections."""
        await asyncio.to_thread(self._desks.succession.adopter.stop)
        await self._store.close()
        await self._desks.items.close()

    def _query(
        self,
        request: schema.RecommendRequest | schema.ExplainRequest,
        user_id: Id | None,
        generation: ServedGeneration,
        due: float,
        now: float,
    ) -> Query:
        refuse_future("session", request.session, now)
        check_types("session", request.session, generation)
        return self.query_kind(
            generation,
            user_id,
            request.k,
            due,
            [event("" if user_id is None else user_id, told, now) for told in request.session],
            list(request.exclude),
            now,
            generation.spec.encode_context(checked_context(request.context, generation)),
            request.mode,
            checked_filter(request.filter, generation),
            request.context,
            self._desks.rules.of(generation),
            self._desks.trending.rows(generation, now),
        )

    def _note(self, query: Query, log_impression: bool) -> None:
        """Remember a query whose slate is given; what was made for a request that is refused is shown to nobody."""
        self._desks.succession.note(query)
        if log_impression:
            self._desks.impressions.note(query)

"""The recommender: every verb of both doors, without HTTP, gRPC or BentoML."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass

from recsys.fresh_items.catalogue_changes import CatalogueChanges
from recsys.store.ports import LIVE, UserStore
from recsys.types import Id
from service import schema
from service.generations.served import ServedGeneration
from service.generations.switcher import GenerationSwitcher
from service.recommend.admission import Admission
from service.recommend.batcher import RequestBatcher
from service.recommend.pipeline import RESERVE, Pipeline
from service.recommend.query import Query
from service.settings import Settings
from service.telemetry import lost_entries, metrics
from service.verbs import answer_models
from service.verbs.explain import SlateExplainer
from service.verbs.impressions import ImpressionLog
from service.verbs.items import ItemVerbs
from service.verbs.rules import RulesFollower
from service.verbs.similar import SimilarItems
from service.verbs.trending import TrendingFollower
from service.verbs.users import UserVerbs, to_event
from service.verbs.vocabulary import check_types, checked_context, checked_filter, known_row


@dataclass(frozen=True, slots=True)
class Dependencies:
    """The parts that the recommender calls."""

    pipeline: Pipeline
    switcher: GenerationSwitcher
    users: UserVerbs
    items: ItemVerbs
    similar: SimilarItems
    explainer: SlateExplainer
    trending: TrendingFollower
    impressions: ImpressionLog
    rules: RulesFollower


class Recommender:
    """Answers every verb from the generation in force. due: a deadline in monotonic seconds."""

    query_kind: type[Query] = Query

    def __init__(self, dependencies: Dependencies, store: UserStore, settings: Settings) -> None:
        self._dependencies = dependencies
        self._store = store
        self._settings = settings
        self._counted: CatalogueChanges | None = None
        self._batcher = RequestBatcher(
            dependencies.pipeline.enrich, dependencies.pipeline.finish, settings.max_batch, settings.max_in_flight
        )
        self._admission = Admission(settings.deadline_ms / 1000, settings.max_under_way)

    @property
    def ready(self) -> bool:
        """Whether a generation is in force."""
        return self._dependencies.switcher.ready

    @property
    def unready(self) -> str | None:
        """Why no generation is in force, for /readyz; None if one is."""
        return self._dependencies.switcher.unready

    @property
    def full(self) -> bool:
        """Whether so many slates are under way that a new request is refused."""
        return self._admission.full

    @property
    def live(self) -> ServedGeneration:
        """The generation in force with the items put since; NoGeneration if there is none."""
        live = self._dependencies.switcher.generation(LIVE).with_items(self._dependencies.items.current)
        if live.fresh is not self._counted:
            self._counted = live.fresh
            metrics.count_segment(live.fresh)
        return live

    def due(self, seconds: float | None = None) -> float:
        """The deadline of a request that may take these seconds, at most the deadline of the settings."""
        most = self._settings.deadline_ms / 1000
        return time.monotonic() + (most if seconds is None else min(seconds, most))

    async def recommend(self, request: schema.RecommendRequest, due: float) -> list[Query]:
        """The answered query of each user of the request, in the order of the request. One generation answers all."""
        generation, now = self.live, time.time()
        users = [request.user_id] if request.user_ids is None else request.user_ids
        queries = [self._query(request, user, generation, due, now) for user in users]
        with self._admission.slates(len(queries)):
            await self._batcher.submit(queries, due - RESERVE)
        for query in queries if request.log_impression else ():  # a refused request has no slate to log
            self._dependencies.impressions.note(query)
        return queries

    async def similar(self, request: schema.SimilarRequest, due: float) -> schema.SimilarResponse:
        """The items most similar to an item, the most similar first. Of the rules only the filters apply."""
        generation = self.live
        row = known_row(request.item_id, generation)
        query = self.query_kind(
            generation,
            request.user_id,
            request.k,
            due,
            exclude=list(request.exclude),
            filter=checked_filter(request.filter, generation),
            rules=self._dependencies.rules.of(generation).filters,
        )
        if request.user_id is not None:
            await self._dependencies.pipeline.hydrate(query)
        await self._dependencies.similar.find(query, row)
        return answer_models.similar(query, request.item_id)

    async def explain(self, request: schema.ExplainRequest, due: float) -> schema.ExplainResponse:
        """Why an item has its place in a user's slate, or why the slate lacks the item."""
        generation = self.live
        row = known_row(request.item_id, generation)
        query = self._query(request, request.user_id, generation, due, time.time())
        query.traced = True
        return await self._dependencies.explainer.explain(query, row)

    async def add_events(self, events: Sequence[schema.Event]) -> schema.EventsResponse:
        """Store events. The next slate of each of these users takes them into account."""
        return await self._dependencies.users.add_events(events, self.live if self.ready else None)

    async def user(self, user_id: Id) -> schema.UserResponse:
        """What is stored about a user."""
        return await self._dependencies.users.show(user_id, self.live)

    async def forget(self, user_id: Id) -> schema.ForgottenResponse:
        """Delete a user from the store and from this process."""
        self._dependencies.impressions.forget(user_id)
        return await self._dependencies.users.forget(user_id)

    async def merge(self, user_id: Id, into: Id) -> schema.MergedResponse:
        """Give a user's events to another user, and delete the first user."""
        generation = self.live
        self._dependencies.impressions.forget(user_id)
        return await self._dependencies.users.merge(user_id, into, generation)

    async def put_items(self, items: Sequence[schema.Item]) -> schema.ItemsResponse:
        """Store items. Every process receives them within about a second."""
        return await self._dependencies.items.put(items, self.live)

    async def item(self, item_id: Id) -> schema.ItemResponse:
        """What is known about an item."""
        return await self._dependencies.items.show(item_id, self.live)

    async def forget_item(self, item_id: Id) -> schema.ForgottenItemResponse:
        """Drop what was put for an item. Every process does so within about a second."""
        return await self._dependencies.items.forget(item_id, self.live)

    def status(self) -> schema.StatusResponse:
        """What is in force, and what each process holds."""
        served, follower = self.live if self.ready else None, self._dependencies.switcher.follower
        state, fresh = follower.state, served.fresh if served else None
        return schema.StatusResponse(
            ready=served is not None,
            generation=served.id if served else None,
            live=state.live,
            topology=self._settings.topology,
            store=state.fault or "ok",
            away=self._dependencies.pipeline.away,
            rules=self._dependencies.rules.problems(served),
            refused=follower.refusals,
            processes=[
                schema.Process(name=each.name, held=list(each.held)) for each in (follower.holding, *state.processes)
            ],
            fresh_items=len(fresh.items) if fresh else 0,
            hidden_items=fresh.hidden_count if fresh else 0,
            event_types=list(served.spec.event_types) if served else [],
            data=served.manifest.data if served else {},
            metrics=served.manifest.metrics if served else {},
        )

    async def follow(self) -> None:
        """Follow the live generation, trending items, rules and counts, and log impressions; never returns."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._dependencies.switcher.follow())
            group.create_task(self._dependencies.trending.follow())
            group.create_task(self._dependencies.impressions.follow())
            group.create_task(lost_entries.follow(self._store))
            group.create_task(self._dependencies.rules.follow(lambda: self.live if self.ready else None))

    async def settled(self) -> None:
        """Return when the first generation is in force, or will not be soon."""
        await self._dependencies.switcher.settled()

    async def finish(self) -> None:
        """Log the last impressions and finish the deletion of users. Call it after the last request."""
        await asyncio.gather(self._dependencies.impressions.flush(), self._dependencies.users.finish())

    async def close(self) -> None:
        """Close the connections."""
        await asyncio.to_thread(self._dependencies.switcher.follower.stop)
        await self._store.close()
        await self._dependencies.items.close()

    def _query(
        self,
        request: schema.RecommendRequest | schema.ExplainRequest,
        user_id: Id | None,
        generation: ServedGeneration,
        due: float,
        now: float,
    ) -> Query:
        check_types("session", request.session, generation)
        session_user: Id = "" if user_id is None else user_id
        return self.query_kind(
            generation,
            user_id,
            request.k,
            due,
            session=[to_event(session_user, each, now) for each in request.session],
            exclude=list(request.exclude),
            now=now,
            context=generation.spec.encode_context(checked_context(request.context, generation)),
            mode=request.mode,
            filter=checked_filter(request.filter, generation),
            context_values=request.context,
            rules=self._dependencies.rules.of(generation),
            extra=self._dependencies.trending.rows(generation, now),
        )

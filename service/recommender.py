"""The recommender behind both doors: the verbs. Knows no HTTP and no BentoML."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Mapping, Sequence

from recsys.errors import QueryError
from recsys.segment import FreshSegment
from recsys.store.base import UserStore
from recsys.types import Event, Source
from service import metrics, schema
from service.coalescer import Coalescer
from service.items import ItemDesk
from service.pipeline import Pipeline
from service.query import Query, ServedGeneration
from service.settings import Settings
from service.succession import Succession


class Recommender:
    """Answers every verb from the generation in force."""

    def __init__(
        self, pipeline: Pipeline, users: UserStore, succession: Succession, settings: Settings, items: ItemDesk
    ) -> None:
        self._users = users
        self._succession = succession
        self._settings = settings
        self._items = items
        self._counted: FreshSegment | None = None
        self._coalescer = Coalescer(pipeline.run, settings.max_batch, settings.max_in_flight, settings.max_waiting)

    @property
    def ready(self) -> bool:
        """Whether a generation is in force."""
        return self._succession.in_force is not None

    @property
    def live(self) -> ServedGeneration:
        """The generation in force, with the items put since; NoGeneration where there is none."""
        live = self._succession.live.with_items(self._items.current)
        if live.fresh is not self._counted:
            self._counted = live.fresh
            metrics.count_segment(live.fresh)
        return live

    async def recommend(self, request: schema.RecommendRequest) -> schema.RecommendResponse:
        """A slate for one user, from one generation."""
        now, generation = time.time(), self.live
        _check_context(request.context, generation)
        query = Query(
            generation,
            request.user_id,
            request.k,
            self._due(),
            [_event(request.user_id, told, now) for told in request.session],
            list(request.exclude),
            now,
            generation.spec.encode_context(request.context),
        )
        await self._coalescer.submit(query)
        self._succession.note(query)
        return _response(query)

    async def add_events(self, events: Sequence[schema.Event]) -> schema.EventsResponse:
        """Store events; the next `recommend` of these users knows them."""
        now = time.time()
        for index, told in enumerate(events):
            if told.timestamp is not None and told.timestamp > now + 60:
                raise QueryError("The timestamp lies in the future; send unix seconds.", f"events.{index}.timestamp")
        await self._users.add_events([_event(told.user_id, told, now) for told in events])
        row_of = self.live.row_of if self.ready else None
        unknown = dict.fromkeys(told.item_id for told in events if row_of and row_of(told.item_id) is None)
        return schema.EventsResponse(stored=len(events), unknown_items=list(unknown))

    async def put_items(self, items: Sequence[schema.Item]) -> schema.ItemsResponse:
        """Store items; within a second or so every process knows them, and hides what is not available any more."""
        return await self._items.put(items, self.live)

    def status(self) -> schema.StatusResponse:
        """What is in force, and which process holds what."""
        served, adopter = self.live if self.ready else None, self._succession.adopter
        outlook, fresh = adopter.outlook, served.fresh if served else None
        return schema.StatusResponse(
            ready=served is not None,
            generation=served.id if served else None,
            live=outlook.live,
            topology=self._settings.topology,
            store=outlook.fault or "ok",
            refused=self._succession.refused(),
            processes=[
                schema.Process(name=told.name, held=list(told.held)) for told in (adopter.holding, *outlook.processes)
            ],
            fresh_items=len(fresh.items) if fresh else 0,
            hidden_items=fresh.hidden_count if fresh else 0,
            data=served.manifest.data if served else {},
            metrics=served.manifest.metrics if served else {},
        )

    async def follow(self) -> None:
        """Adopt whatever goes live, for ever."""
        await self._succession.follow()

    async def close(self) -> None:
        """Let go of connections."""
        await asyncio.to_thread(self._succession.adopter.stop)
        await self._users.close()
        await self._items.close()

    def _due(self) -> float:
        return time.monotonic() + self._settings.deadline_ms / 1000


def _check_context(told: Mapping[str, str], generation: ServedGeneration) -> None:
    """QueryError names a column that the generation does not have."""
    columns = [column for column, _ in generation.spec.contexts]
    for column in told:
        if column not in columns:
            there = f"it has {', '.join(columns)}" if columns else "it has none"
            raise QueryError(f"The live generation has no context column of this name; {there}.", f"context.{column}")


def _event(user_id: int | str, told: schema.Event | schema.SessionEvent, now: float) -> Event:
    return Event(user_id, told.item_id, now if told.timestamp is None else told.timestamp, told.event_type)


def _response(query: Query) -> schema.RecommendResponse:
    generation = query.generation
    items = [
        schema.ScoredItem.model_construct(
            item_id=generation.item_id(row),
            title=generation.title(row),
            score=round(score, 4),
            tower_score=None if math.isnan(tower) else round(tower, 4),
            sources=Source(source).names(),
        )
        for row, score, tower, source in zip(
            query.items.tolist(), query.scores.tolist(), query.tower.tolist(), query.sources.tolist(), strict=True
        )
    ]
    return schema.RecommendResponse.model_construct(
        user_id=query.user_id,
        items=items,
        generation=generation.id,
        history=len(query.history[0]),
        removed=query.removed,
        degraded=list(dict.fromkeys(query.degraded)),
    )

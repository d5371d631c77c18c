"""The recommender behind both doors: which generation is in force, and the verbs. Knows no HTTP and no BentoML."""

from __future__ import annotations

import asyncio
import gc
import logging
import math
import time
from collections.abc import Mapping, Sequence

import numpy as np

from recsys.errors import GenerationError, NoGeneration, QueryError, StoreError, TandemError
from recsys.segment import FreshSegment
from recsys.store.base import LIVE, GenerationStore, UserStore
from recsys.types import Event, Source
from service import metrics, schema
from service.coalescer import Coalescer
from service.holder import GenerationHolder
from service.items import ItemDesk
from service.pipeline import Pipeline
from service.query import Query, ServedGeneration
from service.settings import Settings

logger = logging.getLogger("tandem")

WARM_UP_ROUNDS = 12
"""Batches sent through the whole path before a generation is in force: BentoML's dispatcher trains its batching on
the first eleven, and answers stray 503s while it does."""

WARM_UP_SECONDS = 60
"""How long retrieval and ranking have to load a generation before it is refused, for now."""

PATIENCE = 60
"""Seconds between two tries of a generation that was refused."""


class Recommender:
    """Serves one generation at a time and adopts the next when it is promoted."""

    def __init__(
        self,
        pipeline: Pipeline,
        users: UserStore,
        generations: GenerationStore,
        holder: GenerationHolder[ServedGeneration],
        settings: Settings,
        items: ItemDesk,
    ) -> None:
        self._pipeline = pipeline
        self._users = users
        self._generations = generations
        self._holder = holder
        self._settings = settings
        self._items = items
        self._counted: FreshSegment | None = None
        self._coalescer = Coalescer(pipeline.run, settings.max_batch, settings.max_in_flight, settings.max_waiting)
        self._live: ServedGeneration | None = None
        self._coming = "The service is starting; try again in a moment."
        self._store_fault: str | None = None
        self._refused: str | None = None
        self._refused_id: str | None = None
        self._try_again = 0.0

    @property
    def ready(self) -> bool:
        """Whether a generation is in force."""
        return self._live is not None

    @property
    def live(self) -> ServedGeneration:
        """The generation in force, with the items put since; NoGeneration where there is none."""
        if self._live is None:
            raise NoGeneration(self._store_fault or self._refused or self._coming)
        live = self._live.with_items(self._items.current)
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
        """What is in force."""
        manifest = self._live.manifest if self._live else None
        fresh = self.live.fresh if self.ready else None
        return schema.StatusResponse(
            ready=self.ready,
            generation=manifest.id if manifest else None,
            topology=self._settings.topology,
            store=self._store_fault or self._refused or "ok",
            fresh_items=len(fresh.items) if fresh else 0,
            hidden_items=fresh.hidden_count if fresh else 0,
            data=manifest.data if manifest else {},
            metrics=manifest.metrics if manifest else {},
        )

    async def close(self) -> None:
        """Let go of connections."""
        await self._users.close()
        await self._items.close()

    async def follow(self) -> None:
        """Adopt whatever is live, for ever."""
        while True:
            alias = None
            try:
                alias = await asyncio.to_thread(self._generations.alias, LIVE)
                self._store_fault = None
                if alias is None:
                    self._coming = "No generation is live yet. Train one: python -m flows run --data DIR."
                else:
                    self._coming = f"Generation {alias} is being loaded; try again in a moment."
                if self._live is not None and self._live.id == alias:
                    self._refused = None
                elif alias is not None and not (alias == self._refused_id and time.monotonic() < self._try_again):
                    await self._adopt(alias)
            except StoreError as error:
                self._store_fault = str(error)
            except TandemError as error:
                self._refused = f"A generation was refused: {error}"
                self._refused_id, self._try_again = alias, time.monotonic() + PATIENCE
                logger.error(self._refused)
            except Exception:
                logger.exception("Adoption failed; trying again.")
            await asyncio.sleep(self._settings.poll_seconds if self._live else 0.2)

    async def _adopt(self, generation: str) -> None:
        """Load a generation, warm the whole path with it, and only then put it in force."""
        served = await asyncio.to_thread(self._holder.wait, generation)
        await self._warm_up(served)
        # What was loaded lives long: taking it out of the collector's sight ends its long pauses.
        gc.collect()
        gc.freeze()
        self._live, self._refused = served, None
        metrics.live_generation.set(served.manifest.created)
        logger.info("Generation %s is in force.", generation)

    async def _warm_up(self, served: ServedGeneration) -> None:
        """Send batches of every size until so many in a row were whole: retrieval and ranking then hold it too."""
        clean, end = 0, time.monotonic() + WARM_UP_SECONDS
        while clean < WARM_UP_ROUNDS:
            left_out = await self._warm_batch(served, min(2 ** (clean % 6), self._settings.max_batch))
            if left_out and time.monotonic() > end:
                raise GenerationError(f"Warm-up of {served.id} had to leave out {', '.join(sorted(left_out))}.")
            clean = 0 if left_out else clean + 1
            await asyncio.sleep(0.2 if left_out else 0)

    async def _warm_batch(self, served: ServedGeneration, size: int) -> set[str]:
        """What a batch of real-shaped queries had to leave out."""
        popular = served.popular
        starts = [place % max(len(popular), 1) for place in range(size)]
        queries = [_warm_query(served, popular[start:][:8], self._due()) for start in starts]
        await self._pipeline.run(queries)
        return {str(stage) for query in queries for stage in query.degraded}

    def _due(self) -> float:
        return time.monotonic() + self._settings.deadline_ms / 1000


def _warm_query(served: ServedGeneration, items: np.ndarray, due: float) -> Query:
    session = [Event("", served.item_id(int(row)), float(i)) for i, row in enumerate(items)]
    return Query(served, "", 10, due, session)


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

"""The endpoints about items: add, change, hide, show and drop items between trainings; a thread reads these changes."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from recsys.errors import QueryError, StoreUnavailable, TandemError
from recsys.fresh_items.put_items import CAPACITY, CATEGORIES, HIDING_CAPACITY, NOTHING_PUT, Put, PutItem, PutItems
from recsys.model.feature_spec import FeatureSpec
from recsys.slates.served_generation import ServedGeneration
from recsys.store.redis.item_store import RedisItemReader, RedisItemWriter, stored_fields
from recsys.types import Id
from service import schema
from service.telemetry import metrics
from service.telemetry.outage import Outage
from service.telemetry.periodic import repeat_in_thread
from service.telemetry.throttled_logger import ThrottledLogger
from service.verbs.vocabulary import known_row

logger = logging.getLogger("tandem")

POLL_SECONDS, CALM_SECONDS = 0.5, 1.0
"""Time between two reads, without and with the messages of Redis, which may get lost. Hiding an item may take 1 s."""

REST_SECONDS = 0.1
"""Pause after a message, so that puts are read together. At CAPACITY a read takes 9 to 20 ms."""

ITEM_BYTES = 4096
"""Limit of a stored item: at CAPACITY 40 MB in the store, and somewhat more in each process."""

EXPIRY_SECONDS = 60.0
"""Time between two removals of expired items."""

UNPREPARED = ThrottledLogger("Items put could not be joined to the tables of a generation before requests use them.")


class ItemFollower:
    """The items added or changed through PUT /items, as last read. Without the store they stay. clock: unix seconds."""

    def __init__(
        self, reader: RedisItemReader, clock: Callable[[], float] = time.time, redis: Outage | None = None
    ) -> None:
        """redis: the outage log of the store."""
        self._reader = reader
        self._redis = redis or Outage("Redis", "Items that are put now are not read.")
        self._clock = clock
        self._fault: str | None = None
        self._expire_at = 0.0
        self._prepare: list[Callable[[PutItems], None]] = []
        self.current: PutItems = NOTHING_PUT

    def start(self) -> None:
        """Read all items, then follow the changes on a thread that ends with the process."""
        repeat_in_thread("items", self._refresh_when_changed, first=self.refresh)

    def before_use(self, prepare: Callable[[PutItems], None]) -> None:
        """Call a function with the items put before `current` returns them, so that no request joins them to tables."""
        self._prepare.append(prepare)

    def refresh(self) -> None:
        """Read the changes."""
        try:
            known = self._reader.changes(self.current)
        except StoreUnavailable as error:
            self._fault = str(error)
            self._redis.failed(self._fault)
            return
        except TandemError as error:
            if self._fault is None:
                logger.warning("Items put are not followed: %s", error)
            self._fault = str(error)
            return
        self._fault = None
        self._redis.worked()
        if time.monotonic() >= self._expire_at:
            known, self._expire_at = known.unexpired(self._clock()), time.monotonic() + EXPIRY_SECONDS
        if known is not self.current:
            self._prepare_for(known)
        self.current = known

    def _prepare_for(self, known: PutItems) -> None:
        for prepare in self._prepare:
            try:
                prepare(known)
            except Exception as error:  # one generation failed: its requests join the items themselves
                UNPREPARED.warn(error=error)

    def _refresh_when_changed(self) -> None:
        announced = self._reader.wait(POLL_SECONDS, POLL_SECONDS if self._fault else CALM_SECONDS)
        self.refresh()
        if announced:
            time.sleep(REST_SECONDS)


class ItemVerbs:
    """The endpoints about items, against the generation in force (`live`)."""

    def __init__(self, writer: RedisItemWriter, follower: ItemFollower) -> None:
        self._writer = writer
        self._follower = follower

    @property
    def current(self) -> PutItems:
        """The items put, as this process last read them."""
        return self._follower.current

    async def put(self, items: Sequence[schema.Item], live: ServedGeneration) -> schema.ItemsResponse:
        """Store items. QueryError names the first wrong item."""
        puts = [_put(item, f"items.{index}", live.spec) for index, item in enumerate(items)]
        if not await self._writer.put(puts) and not await self._put_after_forgetting(puts, live):
            raise QueryError(
                f"No more than {CAPACITY:,} items are kept between two generations, {HIDING_CAPACITY:,} with those "
                "that are only hidden. Train one that knows them: python -m flows run --data DIR.",
                "items",
                "full",
            )
        ids = {str(item.item_id) for item in items}
        new = {text for text in ids if text not in live.tables.ids}
        metrics.items_put_total.labels("new").inc(len(new))
        metrics.items_put_total.labels("known").inc(len(ids) - len(new))
        return schema.ItemsResponse(
            stored=len(ids),
            new=len(new),
            known=len(ids) - len(new),
            unplaced=_unplaced([put for put in puts if str(put.item_id) in new], live),
            ignored_columns=_columns([put for put in puts if str(put.item_id) not in new]),
        )

    async def show(self, item_id: Id, live: ServedGeneration) -> schema.ItemResponse:
        """Show an item, with its newest put, which this process may not have received."""
        put = await self._writer.read(item_id)
        generation = _with(put, live)
        row = known_row(item_id, generation)
        content = generation.content_of(row)
        return schema.ItemResponse(
            item_id=generation.item_id(row),
            generation=live.id,
            title=generation.title(row),
            categories=[str(category) for category in content.get(CATEGORIES, ())],
            columns={column: value for column, value in content.items() if column != CATEGORIES},
            available=bool(generation.shows(np.array([row], np.int32))[0]),
            known=row < len(live.tables),
            put_at=put.put_at if put else None,
        )

    async def forget(self, item_id: Id, live: ServedGeneration) -> schema.ForgottenItemResponse:
        """Drop what was put for an item. QueryError if neither a put nor the generation has the item."""
        forgotten = await self._writer.remove(item_id)
        if not forgotten:
            known_row(item_id, _with(None, live))
        known = str(item_id) in live.tables.ids
        return schema.ForgottenItemResponse(item_id=item_id, forgotten=forgotten, known=known)

    async def close(self) -> None:
        """Close the connections."""
        await self._writer.close()

    async def _put_after_forgetting(self, puts: Sequence[Put], live: ServedGeneration) -> bool:
        """Put again, after the items that the live generation was trained with are removed."""
        learned = [item for item in self.current.items if live.has_learned(item)]
        if not learned:
            return False
        await self._writer.forget(learned)
        return await self._writer.put(puts)


def _with(put: PutItem | None, live: ServedGeneration) -> ServedGeneration:
    """The generation with only this put, or without puts."""
    return replace(live, extended=None).with_items(PutItems(items=(put,) if put else ()))


def _put(item: schema.Item, field: str, spec: FeatureSpec) -> Put:
    """The put of an item. QueryError names a category or a column that the generation does not have."""
    content: dict[str, object] = {}
    for column, value in item.columns.items():
        if problem := _problem(column, value, spec):
            raise QueryError(problem, f"{field}.columns.{column}")
        content[column] = value if column in spec.edges or isinstance(value, bool) else str(value)
    if item.categories is not None:
        if CATEGORIES not in spec.columns:
            raise QueryError("The live generation knows no categories; leave them out.", f"{field}.categories")
        content[CATEGORIES] = list(item.categories)
    put = Put(item.item_id, item.title, item.available, content)
    size = sum(map(len, stored_fields(put).values()))
    if size > ITEM_BYTES:
        raise QueryError(f"An item takes {ITEM_BYTES:,} bytes at most, and this one {size:,}.", field)
    return put


def _problem(column: str, value: object, spec: FeatureSpec) -> str | None:
    """The fault of a value of a column; None if there is none."""
    columns = [name for name in spec.columns if name != CATEGORIES]
    if column not in columns:
        there = f"it has {', '.join(columns)}" if columns else "it has none"
        return f"The live generation knows no item column of this name; {there}."
    if column in spec.booleans:
        right, kind = isinstance(value, bool), "is true or false in the live generation; send true or false"
    elif column in spec.edges:
        right, kind = not isinstance(value, (bool, str)), "is numeric in the live generation; send a number"
    else:
        right, kind = not isinstance(value, bool), "holds text in the live generation; send a string or a number"
    return None if right else f"This column {kind}."


def _columns(puts: Sequence[Put]) -> list[str]:
    """The columns and categories of these puts, each once."""
    return list(dict.fromkeys(column for put in puts for column in put.content))


def _unplaced(new: Sequence[Put], live: ServedGeneration) -> list[Id]:
    """New items without content that the generation knows: few users are likely to get them."""
    shown = [put for put in new if put.available is not False]
    content, _ = live.spec.encode_items([put.content for put in shown])
    return [put.item_id for put, tokens in zip(shown, content, strict=True) if not tokens.any()]

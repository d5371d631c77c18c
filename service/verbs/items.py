"""Items put while a generation is in force: a thread that knows of all of them, and the desk that takes new ones."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from recsys.errors import QueryError, StoreUnavailable, TandemError
from recsys.items import CAPACITY, CATEGORIES, HIDING_CAPACITY, NOTHING_PUT, Put, PutItem, PutItems
from recsys.segment import FreshSegment
from recsys.spec import FeatureSpec
from recsys.store.items import ItemReader, ItemWriter, said
from recsys.types import Id
from service import schema
from service.generations.served import ServedGeneration
from service.telemetry import metrics
from service.telemetry.outage import Outage
from service.verbs.vocabulary import known_row

logger = logging.getLogger("tandem")

LOOK_SECONDS, CALM_SECONDS = 0.5, 1.0
"""How often a process looks for what was put where it can't hear of it, half of what hiding an item may take; and where
it can: a message may get lost."""

REST_SECONDS = 0.1
"""Between two looks, however much is put: what is put meanwhile is taken in together, at CAPACITY in 9 to 20 ms."""

ITEM_BYTES = 4096
"""Of an item as it is stored: at CAPACITY 40 MB in the store, and some more in each process."""

EXPIRY_SECONDS = 60.0
"""How often what was put too long ago is let go."""


class ItemFollower:
    """What was put, as this process knows it; with the store away it keeps what it has. clock: unix seconds."""

    def __init__(self, reader: ItemReader, clock: Callable[[], float] = time.time, redis: Outage | None = None) -> None:
        """redis: where this process reports how the store is."""
        self._reader = reader
        self._redis = redis or Outage("Redis", "Items that are put now are not known.")
        self._clock = clock
        self._fault: str | None = None
        self._expire_at = 0.0
        self.current: PutItems = NOTHING_PUT

    def start(self) -> None:
        """Read what there is, then follow it on a thread that ends with the process."""
        self.look()
        threading.Thread(target=self._follow, name="items", daemon=True).start()

    def look(self) -> None:
        """Take in what changed."""
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
        self.current = known

    def _follow(self) -> None:
        while True:
            announced = self._reader.wait(LOOK_SECONDS, LOOK_SECONDS if self._fault else CALM_SECONDS)
            try:
                self.look()
            except Exception:
                logger.exception("What was put could not be read; trying again.")
            if announced:
                time.sleep(REST_SECONDS)


class ItemVerbs:
    """Takes what is put, against the generation in force."""

    def __init__(self, writer: ItemWriter, follower: ItemFollower) -> None:
        self._writer = writer
        self._follower = follower

    @property
    def current(self) -> PutItems:
        """All that was put, as far as this process knows."""
        return self._follower.current

    async def put(self, told: Sequence[schema.Item], live: ServedGeneration) -> schema.ItemsResponse:
        """Store items; QueryError names what can't be one."""
        puts = [_put(item, place, live.spec) for place, item in enumerate(told)]
        if not await self._writer.put(puts) and not await self._put_after_forgetting(puts, live):
            raise QueryError(
                f"No more than {CAPACITY:,} items are kept between two generations, {HIDING_CAPACITY:,} with those "
                "that are only hidden. Train one that knows them: python -m flows run --data DIR.",
                "items",
                "full",
            )
        ids = {str(item.item_id): item.item_id for item in told}
        new = [item_id for text, item_id in ids.items() if text not in live.tables.ids.rows]
        metrics.items_put_total.labels("new").inc(len(new))
        metrics.items_put_total.labels("known").inc(len(ids) - len(new))
        return schema.ItemsResponse(
            stored=len(ids),
            new=len(new),
            known=len(ids) - len(new),
            unplaced=_unplaced(puts, set(new), live),
            ignored_columns=_ignored(puts, live),
        )

    async def show(self, item_id: Id, live: ServedGeneration) -> schema.ItemResponse:
        """What is known of an item, with the newest put, of which this process may not know yet."""
        put = await self._writer.read(item_id)
        known = _with(put, live)
        row = known_row(item_id, known)
        content = known.content_of(row)
        return schema.ItemResponse(
            item_id=known.item_id(row),
            generation=live.id,
            title=known.title(row),
            categories=[str(category) for category in content.get(CATEGORIES, ())],
            columns={column: value for column, value in content.items() if column != CATEGORIES},
            available=bool(known.shows(np.array([row], np.int32))[0]),
            known=row < len(live.tables),
            put_at=put.put_at if put else None,
        )

    async def forget(self, item_id: Id, live: ServedGeneration) -> schema.ForgottenItemResponse:
        """Drop what was put of an item; QueryError where neither a put nor the generation has it."""
        forgotten = await self._writer.remove(item_id)
        if not forgotten:
            known_row(item_id, _with(None, live))
        known = str(item_id) in live.tables.ids.rows
        return schema.ForgottenItemResponse(item_id=item_id, forgotten=forgotten, known=known)

    async def _put_after_forgetting(self, puts: Sequence[Put], live: ServedGeneration) -> bool:
        """Put again, in place of what the live generation was trained with."""
        learned = [item for item in self.current.items if live.has_learned(item)]
        if not learned:
            return False
        await self._writer.forget(learned)
        return await self._writer.put(puts)

    async def close(self) -> None:
        """Let go of connections."""
        await self._writer.close()


def _with(put: PutItem | None, live: ServedGeneration) -> ServedGeneration:
    """The generation with this one put, or without any."""
    if put is None:
        return replace(live, fresh=None)
    tables, puts = live.tables, PutItems(items=(put,))
    return replace(live, fresh=FreshSegment.of(puts, tables.ids.rows_of, tables.available, live.manifest.data_end))


def _put(item: schema.Item, place: int, spec: FeatureSpec) -> Put:
    """What an item of a request says; QueryError names the column that the generation does not have."""
    columns = [column for column in spec.content_columns if column != CATEGORIES]
    for column, value in item.columns.items():
        field = f"items.{place}.columns.{column}"
        if column not in columns:
            there = f"it has {', '.join(columns)}" if columns else "it has none"
            raise QueryError(f"The live generation knows no item column of this name; {there}.", field)
        if wanted := _wanted(column, value, spec):
            raise QueryError(f"This column {wanted}.", field)
    content: dict[str, object] = {
        column: value if column in spec.edges or isinstance(value, bool) else str(value)
        for column, value in item.columns.items()
    }
    if item.categories is not None:
        if CATEGORIES not in spec.content_columns:
            raise QueryError("The live generation knows no categories; leave them out.", f"items.{place}.categories")
        content[CATEGORIES] = list(item.categories)
    put = Put(item.item_id, item.title, item.available, content)
    size = sum(map(len, said(put).values()))
    if size > ITEM_BYTES:
        raise QueryError(f"An item takes {ITEM_BYTES:,} bytes at most, and this one {size:,}.", f"items.{place}")
    return put


def _wanted(column: str, value: object, spec: FeatureSpec) -> str | None:
    """What a column holds and what to send, where a value is of another kind."""
    if column in spec.booleans:
        return None if isinstance(value, bool) else "is true or false in the live generation; send true or false"
    if column in spec.edges:
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        return None if is_number else "is numeric in the live generation; send a number"
    return "holds text in the live generation; send a string or a number" if isinstance(value, bool) else None


def _ignored(puts: Sequence[Put], live: ServedGeneration) -> list[str]:
    """The columns that this put names of items that the generation knows: the content of such an item stays."""
    known = (put.content for put in puts if str(put.item_id) in live.tables.ids.rows)
    return list(dict.fromkeys(column for content in known for column in content))


def _unplaced(puts: Sequence[Put], new: set[int | str], live: ServedGeneration) -> list[int | str]:
    """New items of which this put says nothing that the generation knows: nobody is likely to be shown them."""
    asked = [put for put in puts if put.item_id in new and put.available is not False]
    content = live.spec.encode_items([put.content for put in asked])
    return [put.item_id for put, tokens in zip(asked, content, strict=True) if not tokens.any()]

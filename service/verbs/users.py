"""What is known of users: their events as they come, what is stored of one, and forgetting one."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Coroutine, Sequence
from contextlib import suppress
from typing import Any, TypeVar

from recsys.errors import QueryError, StoreError, StoreUnavailable
from recsys.record import UserRecord
from recsys.store.base import EVENTS_EXPIRE, UserStore
from recsys.types import Event, Id
from recsys.user_list import UserList
from service import schema
from service.generations.served import ServedGeneration
from service.telemetry.throttled_logger import ThrottledLogger
from service.verbs.impressions import PATIENCE
from service.verbs.vocabulary import check_types, checked_context, unknown_types

logger = logging.getLogger("tandem")

IMPRESSIONS_LEFT = ThrottledLogger("Impressions of a user who was forgotten may be left: %s")

T = TypeVar("T")

LOGGED_WITHIN = 3 * PATIENCE + 1.0
"""Seconds after which a slate is logged in any process, or never: it waits, has its features asked for and is written
within PATIENCE each, and an answer that is under way has a second."""

SWEEP_SECONDS = 30.0
"""Between the first of some merges and the pass over the streams that removes their visitors. A pass over full streams
takes the store 0.9 s of CPU (docs/decisions.md): too much for each login."""

AHEAD_SECONDS = 60
"""How far in the future a timestamp may lie: clocks differ."""


class UserVerbs:
    """Takes and gives what is stored of users."""

    def __init__(self, users: UserStore) -> None:
        self._users = users
        self._forgetting: set[asyncio.Task[Any]] = set()
        self._swept_next: list[Id] = []
        self._closing = asyncio.Event()

    async def add_events(
        self, events: Sequence[schema.Event], generation: ServedGeneration | None
    ) -> schema.EventsResponse:
        """Store events but those of ignored types; generation: the one in force, where there is one."""
        now = time.time()
        check_timestamps("events", events, now)
        if generation is not None:
            check_types("events", events, generation)
            for index, told in enumerate(events):
                checked_context(told.context, generation, f"events.{index}.context")
        ignored = generation.spec.events.ignored if generation else ()
        kept = [told for told in events if told.event_type not in ignored]
        stored = await self._users.add_events([to_event(told.user_id, told, now) for told in kept])
        items = [told.item_id for told in events]
        rows = generation.rows_of(items) if generation else items
        unknown = dict.fromkeys(item for item, row in zip(items, rows, strict=True) if row is None)
        types = unknown_types(events, generation) if generation else []
        too_old = sum(told.timestamp is not None and told.timestamp < now - EVENTS_EXPIRE for told in kept)
        return schema.EventsResponse(stored=stored, unknown_items=list(unknown), unknown_types=types, too_old=too_old)

    async def show(self, user_id: Id, generation: ServedGeneration) -> schema.UserResponse:
        """What is stored of a user for slates, so no log, impression or event id; StoreError where it can't be read."""
        (state,) = await self._users.read_users(generation.id, generation.manifest.user_buckets, [user_id])
        try:
            record, listed = UserRecord.unpack(state.record), UserList.unpack(state.listed)
        except ValueError as error:
            raise StoreError(f"What is stored of this user can't be read: {error}.") from error
        return schema.UserResponse(
            user_id=user_id,
            generation=generation.id,
            known=state.record is not None,
            history=[_stored(told, generation) for told in _events(user_id, record, generation)],
            events=[_stored(told, generation) for told in state.events],
            seen=len(record.seen),
            listed=len(listed.items) if listed else 0,
            listed_at=listed.made_at if listed else None,
        )

    async def forget(self, user_id: Id) -> schema.ForgottenResponse:
        """Remove a user from everything that is stored, and once more what another process had yet to log.

        What was begun is finished, also where the call ends before.
        """
        await asyncio.shield(self._keep(self._forget(user_id)))
        return schema.ForgottenResponse(user_id=user_id, forgotten=True)

    async def merge(self, user_id: Id, into: Id, generation: ServedGeneration) -> schema.MergedResponse:
        """Give a user's events and trained history to another user, and forget the first: in streams a little later."""
        kept = await asyncio.shield(self._keep(self._merge(user_id, into, generation)))
        return schema.MergedResponse(user_id=user_id, into=into, events=kept)

    async def finish(self) -> None:
        """Wait until all whose forgetting began are forgotten, and what another process had yet to log is removed."""
        self._closing.set()
        while self._forgetting:  # one that ends leaves a second look
            await asyncio.gather(*self._forgetting, return_exceptions=True)

    def _keep(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """A task that no call's end ends: the loop alone would hold it weakly."""
        task = asyncio.create_task(work)
        self._forgetting.add(task)
        task.add_done_callback(self._forgetting.discard)
        return task

    async def _forget(self, user_id: Id) -> None:
        again = True
        try:
            await self._users.forget_user(user_id)
        except StoreUnavailable:
            again = False  # the caller gets an error, and repeats the call
            raise
        finally:  # a full store refuses once all is marked that can be
            if again:
                self._keep(self._forget_impressions(user_id))

    async def _merge(self, user_id: Id, into: Id, generation: ServedGeneration) -> int:
        (state,) = await self._users.read_users(generation.id, generation.manifest.user_buckets, [user_id])
        try:
            trained = _events(user_id, UserRecord.unpack(state.record), generation)
        except ValueError as error:
            logger.warning("The trained history of a user who is merged can't be read, and is lost: %s", error)
            trained = []
        try:
            return await self._users.merge_user(user_id, into, trained)
        finally:
            self._sweep_later([user_id])

    def _sweep_later(self, users: Sequence[Id]) -> None:
        """Remove users from the streams with the next sweep."""
        self._swept_next += users
        if len(self._swept_next) == len(users):
            self._keep(self._sweep())

    async def _sweep(self) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._closing.wait(), SWEEP_SECONDS)
        users, self._swept_next = self._swept_next, []
        await asyncio.sleep(LOGGED_WITHIN)  # until no process has anything of these users to log
        try:
            await self._users.forget_streams(users)
        except StoreError as error:
            again = not self._closing.is_set()
            if not (again and isinstance(error, StoreUnavailable)):  # an outage of Redis has its own line
                logger.warning("Users who were merged may be left in the log of events and in impressions: %s", error)
            if again:
                self._sweep_later(users)

    async def _forget_impressions(self, user_id: Id) -> None:
        await asyncio.sleep(LOGGED_WITHIN)
        try:
            await self._users.forget_impressions(user_id)
        except StoreError as error:
            IMPRESSIONS_LEFT.warn(error)


def check_timestamps(field: str, told: Sequence[schema.Event | schema.SessionEvent], now: float) -> None:
    """QueryError names the first event in this field that has yet to happen: so read milliseconds, too."""
    for index, each in enumerate(told):
        if each.timestamp is not None and each.timestamp > now + AHEAD_SECONDS:
            raise QueryError(
                "The timestamp lies in the future; send unix seconds, or an ISO 8601 time with its offset.",
                f"{field}.{index}.timestamp",
            )


def to_event(user_id: Id, told: schema.Event | schema.SessionEvent, now: float) -> Event:
    """An event as it came; now: for one that names no time."""
    moment = now if told.timestamp is None else told.timestamp
    if not isinstance(told, schema.Event):
        return Event(user_id, told.item_id, moment, told.event_type)
    return Event(user_id, told.item_id, moment, told.event_type, told.event_id or "", told.context)


def _events(user_id: Id, record: UserRecord, generation: ServedGeneration) -> list[Event]:
    """The history of a record as events."""
    names = dict(enumerate(generation.spec.event_types))
    return [
        Event(user_id, generation.item_id(row), moment, names.get(kind, "unknown"))
        for row, moment, kind in zip(record.items.tolist(), record.times.tolist(), record.types.tolist(), strict=True)
    ]


def _stored(told: Event, generation: ServedGeneration) -> schema.StoredEvent:
    row = generation.row_of(told.item_id)
    title = None if row is None else generation.title(row)
    return schema.StoredEvent(
        item_id=told.item_id,
        title=title,
        event_type=told.event_type,
        timestamp=told.timestamp,
        context=dict(told.context),
    )

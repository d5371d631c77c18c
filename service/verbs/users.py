"""The endpoints about users: store events, show what is stored, delete a user, and merge a visitor into a login."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Coroutine, Sequence
from contextlib import suppress
from typing import Any, TypeVar

from recsys.errors import StoreError, StoreUnavailable
from recsys.lists.user_list import UserList
from recsys.lists.user_record import UserRecord
from recsys.slates.served_generation import ServedGeneration
from recsys.store.redis.user_store import RedisUserStore
from recsys.store.stored_types import EVENTS_EXPIRE, UserMerge, UserState
from recsys.types import Event, Id
from service import schema
from service.telemetry.throttled_logger import ThrottledLogger
from service.verbs.impressions import STEP_SECONDS, ImpressionLog
from service.verbs.vocabulary import check_types, checked_context

logger = logging.getLogger("tandem")

IMPRESSIONS_LEFT = ThrottledLogger("Impressions of a deleted user may be left: %s")

T = TypeVar("T")

LOGGED_WITHIN = 3 * STEP_SECONDS + 1.0
"""Seconds after which no process logs an impression of a slate: three steps of `ImpressionLog`, and a second for a
request in flight."""

SWEEP_SECONDS = 30.0
"""From the first merge to the pass over the streams for all users merged until then. A pass over full streams takes
0.9 s of CPU of the store (docs/decisions.md): too much for each login."""


class UserVerbs:
    """The endpoints about users, over the store."""

    def __init__(self, users: RedisUserStore, impressions: ImpressionLog) -> None:
        self._users = users
        self._impressions = impressions
        self._tasks: set[asyncio.Task[Any]] = set()
        self._merges: list[UserMerge] = []
        self._finishing = asyncio.Event()

    async def add_events(
        self, events: Sequence[schema.Event], generation: ServedGeneration | None
    ) -> schema.EventsResponse:
        """Store events, except those of ignored types. generation: the one in force, if there is one."""
        now = time.time()
        if generation is not None:
            check_types("events", events, generation)
            for index, event in enumerate(events):
                checked_context(event.context, generation, f"events.{index}.context")
        ignored = generation.spec.events.ignored if generation else ()
        kept = [event for event in events if event.event_type not in ignored]
        added = [to_event(event.user_id, event, now) for event in kept]
        uncounted = {
            kind for kind in {event.event_type for event in kept} if generation and not generation.spec.counts(kind)
        }
        stored = await self._users.add_events(added, _dataset(generation), uncounted)
        return schema.EventsResponse(
            stored=stored,
            unknown_items=generation.unknown_items(event.item_id for event in events) if generation else [],
            unknown_types=generation.unknown_types(event.event_type for event in events) if generation else [],
            too_old=sum(event.timestamp is not None and event.timestamp < now - EVENTS_EXPIRE for event in kept),
        )

    async def sample(self, generation: ServedGeneration) -> list[str]:
        """Ids, as text, of some users that a generation was trained on."""
        return await self._users.sample_users(generation.id, generation.manifest.user_buckets)

    async def show(self, user_id: Id, generation: ServedGeneration) -> schema.UserResponse:
        """What is stored about a user for slates: no log, no impressions, no event ids."""
        return (await self.show_all([user_id], generation))[0]

    async def show_all(self, users: Sequence[Id], generation: ServedGeneration) -> list[schema.UserResponse]:
        """What is stored about each user, in one round trip."""
        states = await self._users.read_users(generation.id, generation.manifest.user_buckets, users)
        return [_stored(user, state, generation) for user, state in zip(users, states, strict=True)]

    async def forget(self, user_id: Id) -> schema.ForgottenResponse:
        """Delete a user from the store, and a few seconds later what other processes have logged meanwhile.

        The deletion goes on if the call is cancelled.
        """
        self._impressions.forget(user_id)
        await asyncio.shield(self._start(self._forget(user_id)))
        return schema.ForgottenResponse(user_id=user_id, forgotten=True)

    async def merge(self, user_id: Id, into: Id, generation: ServedGeneration) -> schema.MergedResponse:
        """Give a user's events, history and slates to another user, and delete the first: in streams a bit later."""
        kept = await asyncio.shield(self._start(self._merge(user_id, into, generation)))
        return schema.MergedResponse(user_id=user_id, into=into, events=kept)

    async def finish(self) -> None:
        """Wait until every deletion that began is complete."""
        self._finishing.set()
        while self._tasks:  # a task may start another
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def _start(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """A task that is held until it ends: the loop holds tasks weakly."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _forget(self, user_id: Id) -> None:
        try:
            await self._users.forget_user(user_id)
        except StoreUnavailable:  # the caller is told, and asks again
            raise
        except BaseException:  # a full store has deleted what it can
            self._start(self._forget_impressions(user_id))
            raise
        self._start(self._forget_impressions(user_id))

    async def _forget_impressions(self, user_id: Id) -> None:
        await asyncio.sleep(LOGGED_WITHIN)
        try:
            await self._users.forget_impressions(user_id)
        except StoreError as error:
            IMPRESSIONS_LEFT.warn(error)

    async def _merge(self, user_id: Id, into: Id, generation: ServedGeneration) -> int:
        (state,) = await self._users.read_users(generation.id, generation.manifest.user_buckets, [user_id])
        try:
            trained = _history(user_id, UserRecord.unpack(state.record), generation)
        except ValueError as error:
            logger.warning("The trained history of a merged user can't be read, and is lost: %s", error)
            trained = []
        merge = UserMerge(user_id, into, time.time())
        try:
            return await self._users.merge_user(user_id, into, trained, _dataset(generation))
        finally:
            self._sweep_later([merge])

    def _sweep_later(self, merges: Sequence[UserMerge]) -> None:
        """Merge users in the streams with the next sweep."""
        self._merges = sorted([*self._merges, *merges], key=lambda merge: merge.at)
        if len(self._merges) == len(merges):
            self._start(self._sweep())

    async def _sweep(self) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._finishing.wait(), SWEEP_SECONDS)
        merges, self._merges = self._merges, []
        await asyncio.sleep(LOGGED_WITHIN)
        try:
            await self._users.merge_streams(merges)
        except StoreError as error:
            last = self._finishing.is_set()
            if last or not isinstance(error, StoreUnavailable):  # an outage of Redis has its own line
                logger.warning("Merged users may be left in the log of events and in impressions: %s", error)
            if not last:
                self._sweep_later(merges)


def to_event(user_id: Id, event: schema.Event | schema.SessionEvent, now: float) -> Event:
    """An event of a request. now: the time of an event without a timestamp."""
    moment = now if event.timestamp is None else event.timestamp
    if not isinstance(event, schema.Event):
        return Event(user_id, event.item_id, moment, event.event_type)
    return Event(user_id, event.item_id, moment, event.event_type, event.event_id or "", event.context)


def _dataset(generation: ServedGeneration | None) -> str:
    """The name of the dataset that a generation was trained on; empty without a generation."""
    return generation.dataset if generation else ""


def _stored(user_id: Id, state: UserState, generation: ServedGeneration) -> schema.UserResponse:
    try:
        record, listed = UserRecord.unpack(state.record), UserList.unpack(state.listed)
    except ValueError as error:
        raise StoreError(f"What is stored about this user can't be read: {error}.") from error
    return schema.UserResponse(
        user_id=user_id,
        generation=generation.id,
        known=state.record is not None,
        history=[_shown(event, generation) for event in _history(user_id, record, generation)],
        events=[_shown(event, generation) for event in state.events],
        seen=len(record.seen),
        listed=len(listed.items) if listed else 0,
        listed_at=listed.made_at if listed else None,
    )


def _history(user_id: Id, record: UserRecord, generation: ServedGeneration) -> list[Event]:
    """The history of a record as events."""
    names = dict(enumerate(generation.spec.event_types))
    return [
        Event(user_id, generation.item_id(row), moment, names.get(kind, "unknown"))
        for row, moment, kind in zip(record.items.tolist(), record.times.tolist(), record.types.tolist(), strict=True)
    ]


def _shown(event: Event, generation: ServedGeneration) -> schema.StoredEvent:
    row = generation.row_of(event.item_id)
    return schema.StoredEvent(
        item_id=event.item_id,
        title=None if row is None else generation.title(row),
        event_type=event.event_type,
        timestamp=event.timestamp,
        context=dict(event.context),
    )

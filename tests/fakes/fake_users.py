"""Fake store of users, for tests of the pipeline of a request in one process: no such test opens a connection."""

from __future__ import annotations

from recsys.errors import StoreUnavailable
from recsys.store.stored_types import UserState


class FakeUserStore:
    """The records of a generation's users, and the events and lists that a test adds, by user or by row of an item."""

    def __init__(self, folder):
        ids, records = folder.users()
        self.records = {user: records.bytes_at(row) for row, user in enumerate(ids)}
        self.events, self.lists, self.similar = {}, {}, {}

    def add(self, *events):
        """Add events to the histories of their users, oldest first."""
        for event in events:
            self.events.setdefault(str(event.user_id), []).append(event)

    async def read_users(self, generation, buckets, users, variant=""):
        """As `RedisUserStore.read_users`."""
        return [
            UserState(self.records.get(user), [*self.events.get(user, ())], False, self.lists.get(user))
            for user in map(str, users)
        ]

    async def read_similar(self, generation, row):
        """As `RedisUserStore.read_similar`."""
        return self.similar.get(row)


class AwayStore:
    """A store that does not answer."""

    async def read_users(self, *_):
        raise StoreUnavailable("No Redis answers.")

    async def read_similar(self, *_):
        raise StoreUnavailable("No Redis answers.")

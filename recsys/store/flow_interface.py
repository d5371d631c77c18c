"""The interface to the store for the Prefect flows (jobs) `batch`, `refresh` and `drain`: users, events and lists.

It also has users' records, the log of all events, and the impressions (lists of items that were shown to users).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from recsys.store.interfaces import Trending
from recsys.store.streams import Cursor, LoggedEvent, LoggedImpression
from recsys.types import Event


class FlowStore(Protocol):
    """Users' records, events and lists, the log of events, and the impressions."""

    def now(self) -> float:
        """Return the unix seconds of the store's clock, which names the entries of the streams."""

    def read_bucket(self, generation: str, bucket: int) -> dict[str, bytes]:
        """Return the packed records of one hash of users."""

    def read_events(self, users: Sequence[str]) -> list[list[Event]]:
        """Return each user's stored events, oldest first."""

    def write_lists(self, generation: str, buckets: int, lists: Mapping[str, bytes]) -> None:
        """Write users' packed lists; they expire LISTS_EXPIRE after the last write.

        A user without a record in that generation and without events was deleted meanwhile, and gets no list.
        """

    def read_log(self, after: str = "", count: int = 1_000) -> list[LoggedEvent]:
        """Return logged events of all users after an entry, oldest first; without an entry, from the first on."""

    def read_cursor(self, generation: str) -> Cursor | None:
        """Return the last event that was read for a generation; None if none was."""

    def write_cursor(self, generation: str, cursor: Cursor) -> None:
        """Replace the cursor of a generation. It is deleted with the generation."""

    def active_users(self) -> list[str]:
        """Return all users with stored events, in no order, without load-test users."""

    def write_trending(self, trending: Trending) -> None:
        """Replace the trending items."""

    def read_impressions(self, after: str = "", count: int = 1_000) -> list[LoggedImpression]:
        """Return impressions after an entry, oldest first."""

    def drop_impressions(self, entries: Sequence[str]) -> None:
        """Delete impressions that are stored elsewhere."""

    def lost_impressions(self) -> int:
        """Return how many impressions were removed before `flows drain` read them, since `report_lost`."""

    def report_lost(self, impressions: int) -> None:
        """Count lost impressions as reported."""

    def close(self) -> None:
        """Close all connections."""

"""The limits of the streams: what they keep, and the counts of removed entries."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from recsys.store.stored_types import Cursor, LostEntries, StreamLimits
from tests.contracts.stores import LONG, Store, click, opened

ADDED, MIB = 3_000, 1 << 20
AGE = 0.5
"""Seconds."""


@pytest.fixture(params=["valkey", "redis"])
def small(request: pytest.FixtureRequest) -> Iterator[Store]:
    """Stores with streams of 1 MiB."""
    yield from opened(request, StreamLimits(LONG, MIB), StreamLimits(LONG, MIB))


@pytest.fixture(params=["valkey", "redis"])
def short(request: pytest.FixtureRequest) -> Iterator[Store]:
    """Stores with streams of half a second."""
    yield from opened(request, StreamLimits(AGE, 64 * MIB), StreamLimits(AGE, 64 * MIB))


def show(store: Store, count: int) -> None:
    """Add numbered impressions of 1 KiB."""
    shown = [("7", f"{n:01024}".encode()) for n in range(count)]
    for start in range(0, count, 500):
        some = shown[start : start + 500]
        store.users(lambda users, some=some: users.add_impressions(some))


def lost(store: Store) -> LostEntries:
    """The entries that the limits removed."""
    found: LostEntries = store.users(lambda users: users.read_lost())
    return found


class TestBytes:
    def test_impressions_are_kept_or_counted(self, small: Store) -> None:
        """The newest impressions stay, each removed one is counted, and the count is reported once."""
        show(small, ADDED)
        kept = [int(entry.data) for entry in small.flows.read_impressions(count=ADDED)]
        assert kept == list(range(ADDED - len(kept), ADDED))
        assert 0.99 * MIB < 1024 * len(kept) < 1.01 * MIB
        assert lost(small).impressions == small.flows.lost_impressions() == ADDED - len(kept)
        small.flows.report_lost(small.flows.lost_impressions())
        assert small.flows.lost_impressions() == 0
        assert lost(small).impressions == ADDED - len(kept)

    def test_events_are_kept_or_counted(self, small: Store) -> None:
        """The log has the same limit, and its numbers continue after removed events."""
        for start in range(0, ADDED, 500):
            events = [click(f"{n:0900}", user=f"u{n % 50}") for n in range(start, start + 500)]
            small.add(*events)
        kept = small.flows.read_log(count=ADDED)
        assert [logged.number for logged in kept] == list(range(ADDED - len(kept) + 1, ADDED + 1))
        assert 0 < len(kept) < ADDED
        assert lost(small) == LostEntries(0, ADDED - len(kept))


class TestAge:
    def test_old_entries_are_removed(self, short: Store) -> None:
        """Old impressions count as lost; old events do not, because trending does not read them."""
        for _ in range(2):
            show(short, 300)
            short.add(*[click(f"{n}") for n in range(300)])
            time.sleep(AGE + 0.1)
        show(short, 1)
        short.add(click("last"))
        kept = short.flows.read_impressions(count=1_000)
        assert lost(short) == LostEntries(601 - len(kept), 0)
        assert len(kept) < 100
        assert len(short.flows.read_log()) < 200  # Redis removes whole nodes, of some 100 small entries


class TestCursor:
    def test_a_cursor_belongs_to_a_generation(self, store: Store) -> None:
        """It is deleted with its generation."""
        assert store.flows.read_cursor("g1") is None
        for generation in ("g1", "g2"):
            store.publish(generation)
            store.flows.write_cursor(generation, Cursor("12-0", 3))
        store.flows.write_cursor("g1", Cursor("15-1", 5))
        assert store.flows.read_cursor("g1") == Cursor("15-1", 5)
        store.generations.delete("g1")
        assert store.flows.read_cursor("g1") is None
        assert store.flows.read_cursor("g2") == Cursor("12-0", 3)

"""The streams keep what their limits of age and bytes allow, and count what they remove."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from recsys.store.streams import Cursor, LostEntries, StreamLimits
from tests.contracts.stores import LONG, Store, click, opened

ADDED, MIB = 3_000, 1 << 20
AGE = 0.5
"""Seconds."""


@pytest.fixture(params=["memory", "valkey", "redis"])
def small(request: pytest.FixtureRequest) -> Iterator[Store]:
    """Every store, with streams of 1 MiB."""
    yield from opened(request, StreamLimits(LONG, MIB), StreamLimits(LONG, MIB))


@pytest.fixture(params=["memory", "valkey", "redis"])
def short(request: pytest.FixtureRequest) -> Iterator[Store]:
    """Every store, with streams of half a second."""
    yield from opened(request, StreamLimits(AGE, 64 * MIB), StreamLimits(AGE, 64 * MIB))


def show(store: Store, count: int) -> None:
    """Add impressions of 1 KiB, numbered."""
    shown = [("7", f"{n:01024}".encode()) for n in range(count)]
    for start in range(0, count, 500):
        some = shown[start : start + 500]
        store.users(lambda users, some=some: users.add_impressions(some))


def lost(store: Store) -> LostEntries:
    """What the limits removed."""
    found: LostEntries = store.users(lambda users: users.read_lost())
    return found


class TestBytes:
    def test_impressions_are_kept_or_counted(self, small: Store) -> None:
        """The newest fit into the limit, each older one is counted, and a count is reported once."""
        show(small, ADDED)
        kept = [int(told.data) for told in small.flows.read_impressions(count=ADDED)]
        assert kept == list(range(ADDED - len(kept), ADDED))
        assert 0.99 * MIB < 1024 * len(kept) < 1.01 * MIB
        assert lost(small).impressions == small.flows.lost_impressions() == ADDED - len(kept)
        small.flows.report_lost(small.flows.lost_impressions())
        assert small.flows.lost_impressions() == 0
        assert lost(small).impressions == ADDED - len(kept)

    def test_what_was_drained_is_not_lost(self, small: Store) -> None:
        """Impressions that a flow read and removed make room, and do not count."""
        for _ in range(4):
            show(small, 500)
            small.flows.drop_impressions([told.entry for told in small.flows.read_impressions()])
        assert lost(small) == LostEntries(0, 0)

    def test_the_oldest_is_of_an_earlier_version(self, small: Store) -> None:
        """After a rollback the oldest entry does not say what was added before it: nothing is removed by bytes."""
        if not small.client:
            pytest.skip("The in-memory store has no earlier versions.")
        for _ in range(4):
            show(small, 500)
            small.flows.drop_impressions([told.entry for told in small.flows.read_impressions()])
        small.client.xadd("impressions", {"u": "7", "d": "by an earlier version"})
        show(small, 100)
        assert len(small.flows.read_impressions()) == 101
        assert lost(small) == LostEntries(0, 0)

    def test_events_are_kept_or_counted(self, small: Store) -> None:
        """The log of events, too; its numbers go on where events were removed."""
        for start in range(0, ADDED, 500):
            events = [click(f"{n:0900}", user=f"u{n % 50}") for n in range(start, start + 500)]
            small.add(*events)
        kept = small.flows.read_log(count=ADDED)
        assert [logged.number for logged in kept] == list(range(ADDED - len(kept) + 1, ADDED + 1))
        assert 0 < len(kept) < ADDED
        assert lost(small) == LostEntries(0, ADDED - len(kept))


class TestAge:
    def test_old_entries_are_removed(self, short: Store) -> None:
        """Old impressions are lost; an old event is not, because trending does not read it any more."""
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
    def test_it_is_the_generation_s(self, store: Store) -> None:
        """Each generation has its own, which is deleted with it."""
        assert store.flows.read_cursor("g1") is None
        for generation in ("g1", "g2"):
            store.publish(generation)
            store.flows.write_cursor(generation, Cursor("12-0", 3))
        store.flows.write_cursor("g1", Cursor("15-1", 5))
        assert store.flows.read_cursor("g1") == Cursor("15-1", 5)
        store.generations.delete("g1")
        assert store.flows.read_cursor("g1") is None
        assert store.flows.read_cursor("g2") == Cursor("12-0", 3)

    def test_the_clock_is_the_store_s(self, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        """Entries are as old as the same clock says, whatever the clock of the host shows."""
        if store.client:
            real = time.time
            monkeypatch.setattr(time, "time", lambda: real() + 3_600)
        store.users(lambda users: users.add_impressions([("7", b"shown")]))
        (shown,) = store.flows.read_impressions()
        assert 0 <= store.flows.now() - shown.arrived < 60


def test_users_with_stored_events(store: Store) -> None:
    """All of them, whatever characters their ids have, but no load-test user and nobody without a history."""
    store.add(
        *(click("a", user=user) for user in ("7", "a:b", "*", "user:x:events", "\ud800", "load-test:1")),
        click("a", user="shown", kind="impression"),
    )
    assert sorted(store.flows.active_users()) == sorted(["7", "a:b", "*", "user:x:events", "\ud800"])

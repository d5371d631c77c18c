"""The counts of events by item, minute and hour, which the ranker's features read, on Valkey and Redis."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from recsys.kernels.recent_events import ItemEvents
from recsys.model.event_counts import EventCounts
from recsys.store.key_names import hour_key
from recsys.store.redis.event_counters import RedisCountReader
from recsys.store.stored_types import IMPRESSION
from recsys.types import LOAD_TEST_USERS
from tests.contracts.stores import Store, click

MINUTE, HOUR = 60.0, 3_600.0


@pytest.fixture
def reader(store: Store) -> Iterator[RedisCountReader]:
    found = RedisCountReader(store.url)
    yield found
    found.close()


def by_item(counts: EventCounts, of: ItemEvents) -> dict[str, int]:
    """The events of each item that has some."""
    sums = of.totals[of.starts[1:]] - of.totals[of.starts[:-1]]
    return {counts.names[item]: int(sums[item]) for item in sums.nonzero()[0].tolist()}


def test_an_event_counts_in_its_minute_and_its_hour(store: Store, reader: RedisCountReader) -> None:
    """Each window of time starts with its events, in order of time. An event id counts once."""
    now = time.time()
    store.add(click("a", now - 2 * MINUTE, "e1"), click("a", now - 2 * MINUTE, "e1"), click("b", now - 3 * HOUR))
    store.add(click("a", now - 2 * MINUTE, "e1"), click(7, now - 2 * MINUTE), click("a", now - 5 * MINUTE))
    counts = reader.read()
    assert by_item(counts, counts.by_minute) == {"a": 2, "7": 1}
    of_a = counts.by_minute.minutes[slice(*counts.by_minute.starts[counts.names.index("a") :][:2])]
    assert of_a.tolist() == [int((now - ago * MINUTE) // 60) for ago in (5, 2)]
    assert by_item(counts, counts.by_hour)["b"] == 1
    assert (now - 3 * HOUR) // HOUR * 60 in counts.by_hour.minutes


def test_what_is_not_counted(store: Store, reader: RedisCountReader) -> None:
    """Impressions, types that the caller names, load tests, events before the windows, of the future, and of now."""
    now = time.time()
    store.add(
        click("a", now - 2 * MINUTE)._replace(event_type=IMPRESSION),
        click("a", now - 2 * MINUTE, user=f"{LOAD_TEST_USERS}1"),
        click("a", now - 30 * HOUR),
        click("a", now + 2 * MINUTE),
    )
    refund = click("a", now - 2 * MINUTE)._replace(event_type="refund")
    store.users(lambda users: users.add_events([refund], "", {"refund"}))
    assert [*store.client.scan_iter("events:minute:*"), *store.client.scan_iter("events:hour:*")] == []
    store.add(click("a", now))
    assert reader.read().by_minute.totals[-1] == 0  # its minute is not over


def test_a_late_event_is_read_and_nothing_else_again(store: Store, reader: RedisCountReader) -> None:
    """Without a new event the result is the same object; the ids of items keep their numbers."""
    now = time.time()
    store.add(click("a", now - 2 * HOUR))
    before = reader.read()
    if time.time() // 60 == now // 60:  # a minute that ends adds what it holds
        assert reader.read() is before
    store.add(click("b", now - 2 * HOUR), click("a", now - 2 * HOUR))
    after = reader.read()
    assert by_item(after, after.by_hour) == {"a": 2, "b": 1}
    assert [*after.names[:1]] == [*before.names[:1]] == ["a"]


def test_a_store_that_lost_its_data_counts_from_zero(store: Store, reader: RedisCountReader) -> None:
    """What was read is dropped with the keys, and a count that begins anew is read."""
    now = time.time()
    store.add(click("a", now - 2 * HOUR), click("a", now - 2 * HOUR))
    assert by_item(reader.read(), reader.read().by_hour) == {"a": 2}
    store.client.flushall()
    assert len(reader.read().by_hour.minutes) == 0
    store.add(click("a", now - 2 * HOUR))
    assert by_item(reader.read(), reader.read().by_hour) == {"a": 1}


def test_ids_of_expired_counts_are_dropped(store: Store, reader: RedisCountReader) -> None:
    """Else a client that sends random ids fills the memory of ranking processes."""
    now = time.time()
    store.add(*(click(f"random {n}", now - 5 * HOUR) for n in range(10)))
    store.add(*(click(item, now - 2 * HOUR) for item in ("a", "b", "b")))
    before = reader.read()
    assert len(before.names) == 12
    store.client.delete(hour_key(int((now - 5 * HOUR) // HOUR)))
    store.add(click("c", now - 2 * HOUR))
    after = reader.read()
    assert by_item(after, after.by_hour) == {"a": 1, "b": 2, "c": 1}
    assert sorted(after.names) == ["a", "b", "c"]
    assert by_item(before, before.by_hour)["b"] == 2


def test_a_full_hour_counts_no_further_items(store: Store, reader: RedisCountReader) -> None:
    """Above 200,000 items; those that it has are counted."""
    now = time.time()
    key = hour_key(int((now - 2 * HOUR) // HOUR))
    store.client.hset(key, mapping=dict.fromkeys(["", *map(str, range(200_000))], 1))
    store.add(click("new", now - 2 * HOUR), click("7", now - 2 * HOUR))
    counts = reader.read()
    assert "new" not in counts.names
    assert by_item(counts, counts.by_hour)["7"] == 2


def test_counts_expire(store: Store) -> None:
    """A minute is kept for a little more than an hour, an hour for a little more than a day."""
    store.add(click("a", time.time()))
    (minute,), (hour,) = (store.client.keys(f"events:{span}:*") for span in ("minute", "hour"))
    assert HOUR < store.client.ttl(minute) <= 1.2 * HOUR
    assert 25 * HOUR < store.client.ttl(hour) <= 26 * HOUR

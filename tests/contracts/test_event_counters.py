"""The counts of events by item, minute and hour, which the ranker's features read, on Valkey and Redis."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from recsys.kernels.recent_events import ItemEvents
from recsys.model.event_counts import EventCounts
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


def test_a_store_that_lost_its_data_counts_from_zero(store: Store, reader: RedisCountReader) -> None:
    """What was read is dropped with the keys, and a count that begins anew is read."""
    now = time.time()
    store.add(click("a", now - 2 * HOUR), click("a", now - 2 * HOUR))
    assert by_item(reader.read(), reader.read().by_hour) == {"a": 2}
    store.client.flushall()
    assert len(reader.read().by_hour.minutes) == 0
    store.add(click("a", now - 2 * HOUR))
    assert by_item(reader.read(), reader.read().by_hour) == {"a": 1}

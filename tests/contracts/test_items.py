"""The contract of items that are put after training, on Valkey and Redis."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Sequence

import pytest

from recsys.fresh_items.put_items import ITEMS_EXPIRE, NOTHING_PUT, Put, PutItem, PutItems
from recsys.store.redis import item_store as store_items
from recsys.store.redis.item_store import FIRST_SEQ, RedisItemWriter
from tests.contracts.stores import Store


def all_of(store: Store, known: PutItems = NOTHING_PUT) -> dict[str, PutItem]:
    """All items by id."""
    return {item.text: item for item in store.items.changes(known).items}


def one(store: Store, item_id: str | int) -> PutItem | None:
    found: PutItem | None = store.write_items(lambda writer: writer.read(item_id))
    return found


def small(monkeypatch: pytest.MonkeyPatch, capacity: int, hiding: int | None = None) -> None:
    """Limit the capacity of the store, and its capacity with hidden items."""
    monkeypatch.setattr(store_items, "CAPACITY", capacity)
    if hiding is not None:
        monkeypatch.setattr(store_items, "HIDING_CAPACITY", hiding)


def seqs(items: dict[str, PutItem], ids: Sequence[str]) -> list[int]:
    return [items[text].seq for text in ids]


def test_an_item_is_read_as_it_was_put(store: Store) -> None:
    """Id with its type, title, availability and columns of any script, with the times of the put."""
    start = time.time()
    content = {"categories": ["a|b", "é:{}\n\x00", ""], "price": 3.25, "brand": "ünï 🙂"}
    assert store.put(Put("x y", "The \x00 title", False, content), Put(7), Put("\udc80", ""))
    items = all_of(store)
    assert items.keys() == {"x y", "7", "\udc80"}
    item = items["x y"]
    assert (item.item_id, item.title, item.available, item.content) == ("x y", "The \x00 title", False, content)
    assert item.title_at == item.available_at == item.put_at
    assert start - 1 < item.put_at < time.time() + 1
    assert (items["7"].item_id, items["7"].title, items["7"].available, items["7"].content) == (7, None, True, {})
    assert items["7"].available_at == items["7"].title_at == 0
    assert items["\udc80"].title == ""


def test_an_item_keeps_its_own_number(store: Store) -> None:
    """Two items share no seq, and no put changes a seq. A number and its text are one item."""
    store.put(Put("a"), Put("b"), Put(3))
    before = all_of(store)
    store.put(Put("b", "again"), Put("c"), Put("3"))
    after = all_of(store)
    assert seqs(after, ["a", "b", "3"]) == seqs(before, ["a", "b", "3"])
    assert len(set(seqs(after, ["a", "b", "3", "c"]))) == len(after) == 4
    assert all(0 < item.seq <= FIRST_SEQ + 4 for item in after.values())


def test_a_put_beyond_the_capacity_is_refused(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of it is stored, and stored items can still be changed."""
    small(monkeypatch, 3)
    assert store.put(Put("a"), Put("b"), Put("b"))
    assert not store.put(Put("a", "changed"), Put("c"), Put("d"))
    assert all_of(store).keys() == {"a", "b"}
    assert all_of(store)["a"].title is None
    assert store.put(Put("c"), Put("c"))
    assert store.put(Put("a", "changed"))
    assert all_of(store)["a"].title == "changed"


def test_a_full_store_still_hides(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Items that are only hidden have room of their own, and so have items that are shown again."""
    small(monkeypatch, 2, 4)
    assert store.put(Put("a"), Put("b"))
    assert not store.put(Put("c"))
    assert store.put(Put("c", available=False), Put("d", available=False))
    assert not store.put(Put("e", available=False))
    assert store.put(Put("c", available=True))
    assert {text: item.available for text, item in all_of(store).items()} == {
        "a": True,
        "b": True,
        "c": True,
        "d": False,
    }
    assert store.put(Put("a", available=False), Put("b", "changed"))


def test_all_keys_expire(store: Store) -> None:
    """The key of an item expires before the list of changed items."""
    store.put(Put("a", "t", True, {"c": 1}), Put("b"))
    left = {key.decode(): store.client.ttl(key) for key in store.client.keys("*")}
    assert left.keys() == {"items:epoch", "items:next", "items:version", "items:changed", "item:a", "item:b"}
    assert all(0 < seconds <= ITEMS_EXPIRE + 3600 for seconds in left.values())
    assert max(left["item:a"], left["item:b"]) < left["items:changed"]


def test_an_emptied_store_reuses_no_number(store: Store) -> None:
    """Older items are dropped after the next put, and two items share no seq."""
    store.put(*(Put(f"a{n}") for n in range(50)))
    known = store.items.changes(NOTHING_PUT)
    store.client.flushall()
    assert store.items.changes(known) is known
    store.put(*(Put(f"b{n}") for n in range(50)))
    after = store.items.changes(known)
    assert {item.text for item in after.items} == {f"b{n}" for n in range(50)}
    assert not {item.seq for item in after.items} & {item.seq for item in known.items}


@pytest.mark.parametrize("lost", ["items:version", "items:next", "items:epoch"])
def test_an_evicted_key_breaks_no_reader(store: Store, lost: str) -> None:
    """A store without memory may evict any key; later puts still reach the readers."""
    store.put(Put("a"))
    store.put(Put("a"))
    known = store.items.changes(NOTHING_PUT)
    store.client.delete(lost)
    store.put(Put("b"))
    after = store.items.changes(known)
    assert {item.text for item in after.items} == {"a", "b"}
    a, b = sorted(after.items, key=lambda item: item.text)
    assert a.seq != b.seq
    assert a.version < b.version  # the expiry uses this order


def test_a_put_is_announced(store: Store) -> None:
    """It ends the wait of a reader."""
    store.put(Put("a"))
    received = threading.Event()

    def listen() -> None:
        assert store.items.wait(0, 30)  # the confirmation of the subscription
        assert store.items.wait(0, 30)
        received.set()

    thread = threading.Thread(target=listen, daemon=True)
    thread.start()
    end = time.monotonic() + 10
    while not store.client.pubsub_numsub(store_items.ITEMS_CHANNEL)[0][1] and time.monotonic() < end:
        time.sleep(0.01)
    time.sleep(0.3)
    store.put(Put("b"))
    assert received.wait(10)
    thread.join(10)


def test_concurrent_puts_agree(store: Store) -> None:
    """Each id has one seq, and every put counts in the version."""

    async def work(writer: RedisItemWriter) -> list[bool]:
        puts = [[Put(f"i{n}", f"by {who}") for n in range(20)] for who in range(60)]
        return await asyncio.gather(*map(writer.put, puts))

    assert all(store.write_items(work))
    known = store.items.changes(NOTHING_PUT)
    assert known.version == 60
    assert len(known) == len({item.seq for item in known.items}) == 20
    assert len({item.title for item in known.items}) == 1

"""The contract of `RedisItemReader` and `RedisItemWriter`, on memory, Valkey and Redis."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pytest
import redis

from recsys.errors import StoreError, StoreUnavailable
from recsys.fresh_items.put_items import ITEMS_EXPIRE, NOTHING_PUT, Put, PutItem, PutItems
from recsys.store.memory import memory_items
from recsys.store.memory.memory_items import MemoryItems
from recsys.store.redis import item_store as store_items
from recsys.store.redis.item_store import FIRST_SEQ, RedisItemReader, RedisItemWriter


@dataclass
class Shelf:
    """One store: its reader, functions that use its writer, and a plain client (None for the memory)."""

    reader: RedisItemReader
    client: Any
    url: str = ""

    def put(self, *puts: Put) -> bool:
        return bool(self.write(lambda writer: writer.put(puts)))

    def read(self, item_id: str | int) -> PutItem | None:
        found: PutItem | None = self.write(lambda writer: writer.read(item_id))
        return found

    def remove(self, item_id: str | int) -> bool:
        return bool(self.write(lambda writer: writer.remove(item_id)))

    def write(self, work: Callable[[Any], Awaitable[Any]]) -> Any:
        """Run `work` with the writer in a new event loop."""

        async def with_writer() -> Any:
            writer = RedisItemWriter(self.url) if self.url else self.reader
            try:
                return await work(writer)
            finally:
                await writer.close()

        return asyncio.run(with_writer())

    def all(self, known: PutItems = NOTHING_PUT) -> dict[str, PutItem]:
        """All items by id."""
        return {item.text: item for item in self.reader.changes(known).items}


@pytest.fixture(params=["memory", "valkey", "redis"])
def shelf(request: pytest.FixtureRequest) -> Iterator[Shelf]:
    """An empty store: in memory, in Valkey or in Redis."""
    yield from opened(request)


@pytest.fixture(params=["valkey", "redis"])
def real(request: pytest.FixtureRequest) -> Iterator[Shelf]:
    """An empty store in Valkey or in Redis, whose keys a test can read."""
    yield from opened(request)


def opened(request: pytest.FixtureRequest) -> Iterator[Shelf]:
    """The empty store that the parameter of a fixture names."""
    if request.param == "memory":
        yield Shelf(MemoryItems(), None)
        return
    url = request.getfixturevalue("own_valkey_url" if request.param == "valkey" else "own_redis_url")
    reader = RedisItemReader(url)
    with redis.Redis.from_url(url) as client:
        client.flushall()
        yield Shelf(reader, client, url)
        client.flushall()
    reader.close()


def small(monkeypatch: pytest.MonkeyPatch, capacity: int, hiding: int | None = None) -> None:
    """Limit the capacity of the stores, and their capacity with hidden items."""
    for module in (store_items, memory_items):
        monkeypatch.setattr(module, "CAPACITY", capacity)
    if hiding is not None:
        monkeypatch.setattr(store_items, "HIDING_CAPACITY", hiding)


def seqs(items: dict[str, PutItem], ids: Sequence[str]) -> list[int]:
    return [items[text].seq for text in ids]


def test_an_item_is_read_as_it_was_put(shelf: Shelf) -> None:
    """Id with its type, title, availability and columns of any script, with the times of the put."""
    start = time.time()
    content = {"categories": ["a|b", "é:{}\n\x00", ""], "price": 3.25, "brand": "ünï 🙂"}
    assert shelf.put(Put("x y", "The \x00 title", False, content), Put(7), Put("\udc80", ""))
    items = shelf.all()
    assert items.keys() == {"x y", "7", "\udc80"}
    item = items["x y"]
    assert (item.item_id, item.title, item.available, item.content) == ("x y", "The \x00 title", False, content)
    assert item.title_at == item.available_at == item.put_at
    assert start - 1 < item.put_at < time.time() + 1
    assert (items["7"].item_id, items["7"].title, items["7"].available, items["7"].content) == (7, None, True, {})
    assert items["7"].available_at == items["7"].title_at == 0
    assert items["\udc80"].title == ""


def test_an_item_keeps_its_own_number(shelf: Shelf) -> None:
    """Two items share no seq, and no put changes a seq. A number and its text are one item."""
    shelf.put(Put("a"), Put("b"), Put(3))
    before = shelf.all()
    shelf.put(Put("b", "again"), Put("c"), Put("3"))
    after = shelf.all()
    assert seqs(after, ["a", "b", "3"]) == seqs(before, ["a", "b", "3"])
    assert len(set(seqs(after, ["a", "b", "3", "c"]))) == len(after) == 4
    assert all(0 < item.seq <= FIRST_SEQ + 4 for item in after.values())


def test_a_put_replaces_only_its_own_fields(shelf: Shelf) -> None:
    """Other fields keep their value and their time. A repeated put changes nothing."""
    shelf.put(Put("a", "one", True, {"brand": "x", "price": 1}))
    first = shelf.all()["a"]
    for _ in range(2):
        shelf.put(Put("a", None, False, {"price": 2}))
    last = shelf.all()["a"]
    assert (last.title, last.available, last.content) == ("one", False, {"brand": "x", "price": 2})
    assert last.title_at == first.title_at < last.available_at == last.put_at
    shelf.put(Put("a", "two"), Put("a", "three"))
    assert shelf.all()["a"].title == "three"


def test_a_put_beyond_the_capacity_is_refused(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of it is stored, and stored items can still be changed."""
    small(monkeypatch, 3)
    assert shelf.put(Put("a"), Put("b"), Put("b"))
    assert not shelf.put(Put("a", "changed"), Put("c"), Put("d"))
    assert shelf.all().keys() == {"a", "b"}
    assert shelf.all()["a"].title is None
    assert shelf.put(Put("c"), Put("c"))
    assert shelf.put(Put("a", "changed"))
    assert shelf.all()["a"].title == "changed"


def test_a_full_store_still_hides(real: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    """Items that are only hidden have room of their own, and so have items that are shown again."""
    small(monkeypatch, 2, 4)
    assert real.put(Put("a"), Put("b"))
    assert not real.put(Put("c"))
    assert real.put(Put("c", available=False), Put("d", available=False))
    assert not real.put(Put("e", available=False))
    assert real.put(Put("c", available=True))
    assert {text: item.available for text, item in real.all().items()} == {"a": True, "b": True, "c": True, "d": False}
    assert real.put(Put("a", available=False), Put("b", "changed"))


def test_one_item_is_read_and_removed(shelf: Shelf) -> None:
    """A number and its text are one item. A removed item is gone for all readers, and another put has another seq."""
    shelf.put(Put(7, "seven"), Put("a b", available=False, content={"price": 2.5}), Put("hidden", available=False))
    shelf.put(Put("a b", "A B"))
    known = shelf.reader.changes(NOTHING_PUT)
    assert shelf.read("7") == shelf.read(7) == shelf.all()["7"]
    assert shelf.read("a b") == shelf.all()["a b"]
    assert shelf.read("b") is None
    assert [shelf.remove(item) for item in (7, "a b", "hidden", "a b", "never")] == [True, True, True, False, False]
    assert len(shelf.reader.changes(known)) == 0
    shelf.put(Put("a b"))
    (again,) = shelf.reader.changes(known).items
    assert (again.text, again.title) == ("a b", None)
    assert again.seq not in {item.seq for item in known.items}


def test_an_expired_item_leaves_room(real: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its id is removed, and after another put it is a new item."""
    small(monkeypatch, 2)
    real.put(Put("a"), Put("b"))
    seq = real.all()["a"].seq
    real.client.delete("item:a")
    assert real.put(Put("c"))
    assert real.all().keys() == {"b", "c"}
    real.client.delete("item:b")
    assert real.put(Put("a"))
    assert real.all()["a"].seq > seq


def test_all_keys_expire(real: Shelf) -> None:
    """The key of an item expires before the list of changed items."""
    real.put(Put("a", "t", True, {"c": 1}), Put("b"))
    left = {key.decode(): real.client.ttl(key) for key in real.client.keys("*")}
    assert left.keys() == {"items:epoch", "items:next", "items:version", "items:changed", "item:a", "item:b"}
    assert all(0 < seconds <= ITEMS_EXPIRE + 3600 for seconds in left.values())
    assert max(left["item:a"], left["item:b"]) < left["items:changed"]


def test_an_emptied_store_reuses_no_number(real: Shelf) -> None:
    """Older items are dropped after the next put, and two items share no seq."""
    real.put(*(Put(f"a{n}") for n in range(50)))
    known = real.reader.changes(NOTHING_PUT)
    real.client.flushall()
    assert real.reader.changes(known) is known
    real.put(*(Put(f"b{n}") for n in range(50)))
    after = real.reader.changes(known)
    assert {item.text for item in after.items} == {f"b{n}" for n in range(50)}
    assert not {item.seq for item in after.items} & {item.seq for item in known.items}


@pytest.mark.parametrize("lost", ["items:version", "items:next", "items:epoch"])
def test_an_evicted_key_breaks_no_reader(real: Shelf, lost: str) -> None:
    """A store without memory may evict any key; later puts still reach the readers."""
    real.put(Put("a"))
    real.put(Put("a"))
    known = real.reader.changes(NOTHING_PUT)
    real.client.delete(lost)
    real.put(Put("b"))
    after = real.reader.changes(known)
    assert {item.text for item in after.items} == {"a", "b"}
    a, b = sorted(after.items, key=lambda item: item.text)
    assert a.seq != b.seq
    assert a.version < b.version  # the expiry uses this order


def test_an_unreadable_item_is_left_out(real: Shelf) -> None:
    """The other items are read."""
    real.put(Put("a"), Put("b"), Put("c"), Put("d"))
    real.client.set("item:a", "no hash")
    real.client.hset("item:b", "title", "no json")
    real.client.hdel("item:c", "seq")
    assert real.all().keys() == {"d"}


def test_a_put_is_announced(real: Shelf) -> None:
    """It ends the wait of a reader."""
    real.put(Put("a"))
    received = threading.Event()

    def listen() -> None:
        assert real.reader.wait(0, 30)  # the confirmation of the subscription
        assert real.reader.wait(0, 30)
        received.set()

    thread = threading.Thread(target=listen, daemon=True)
    thread.start()
    end = time.monotonic() + 10
    while not real.client.pubsub_numsub(store_items.ITEMS_CHANNEL)[0][1] and time.monotonic() < end:
        time.sleep(0.01)
    time.sleep(0.3)
    real.put(Put("b"))
    assert received.wait(10)
    thread.join(10)


def test_a_new_subscription_ends_a_wait(real: Shelf) -> None:
    """After a dropped connection announcements may have been missed."""
    assert real.reader.wait(0, 30)
    assert not real.reader.wait(0, 0.1)
    real.client.client_kill_filter(_type="pubsub")
    start = time.monotonic()
    assert real.reader.wait(0, 30)
    assert time.monotonic() - start < 10


def test_concurrent_puts_agree(real: Shelf) -> None:
    """Each id has one seq, and every put counts in the version."""

    async def work() -> None:
        writer = RedisItemWriter(real.url)
        try:
            puts = [[Put(f"i{n}", f"by {who}") for n in range(20)] for who in range(60)]
            assert all(await asyncio.gather(*map(writer.put, puts)))
        finally:
            await writer.close()

    asyncio.run(work())
    known = real.reader.changes(NOTHING_PUT)
    assert known.version == 60
    assert len(known) == len({item.seq for item in known.items}) == 20
    assert len({item.title for item in known.items}) == 1


def test_a_user_with_read_rights_can_read_and_not_put(real: Shelf) -> None:
    """The error of a put is a sentence that names the missing right."""
    real.put(Put("a"))
    real.client.execute_command(
        "ACL", "SETUSER", "reader", "on", ">secret", "~*", "resetchannels", "-@all", "+@read", "+@connection"
    )
    try:
        scheme, _, rest = real.url.partition("://")
        url = f"{scheme}://reader:secret@{rest}"
        reader = RedisItemReader(url)
        assert [item.text for item in reader.changes(NOTHING_PUT).items] == ["a"]
        assert not reader.wait(0.01, 30)
        with pytest.raises(StoreError, match=r"may not put items: .*reader"):
            Shelf(reader, None, url).put(Put("b"))
        reader.close()
    finally:
        real.client.execute_command("ACL", "DELUSER", "reader")


def test_an_unreachable_store_is_an_error() -> None:
    """The errors of both ports name the address; a wait is no error."""
    shelf = Shelf(RedisItemReader("redis://127.0.0.1:1/0"), None, "redis://127.0.0.1:1/0")
    with pytest.raises(StoreUnavailable, match=r"127\.0\.0\.1:1"):
        shelf.reader.changes(NOTHING_PUT)
    with pytest.raises(StoreUnavailable, match=r"127\.0\.0\.1:1"):
        shelf.put(Put("a"))
    assert not shelf.reader.wait(0.01, 30)

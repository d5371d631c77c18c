"""The contract of `RedisProcessRegistry`, on memory, Valkey and Redis."""

import subprocess
import threading
import time
from dataclasses import replace

import pytest
import redis

from recsys.errors import StoreUnavailable
from recsys.process.process_identity import ProcessIdentity
from recsys.store.memory.memory_store import MemoryProcessRegistry
from recsys.store.process_registry import ANNOUNCED_SECONDS, Announcement
from recsys.store.redis.generation_store import ALIASES_CHANNEL
from recsys.store.redis.redis_registry import RedisProcessRegistry

RANKING = Announcement("ranking here 7", "ranking", ("g1", "g2"), (), {"g3": "Part x is not what its manifest says."})
GATEWAY = Announcement("gateway here 8", "gateway", ("g2",), ("g2",))


@pytest.fixture(params=["memory", "valkey", "redis"])
def registry(request):
    """A registry, and a function that announces a moved alias."""
    if request.param == "memory":
        memory = MemoryProcessRegistry()
        yield memory, memory.alias_moved.set
        return
    url = request.getfixturevalue("own_valkey_url" if request.param == "valkey" else "own_redis_url")
    client, real = redis.Redis.from_url(url), RedisProcessRegistry(url)
    client.delete("processes")
    yield real, lambda: client.publish(ALIASES_CHANNEL, "live g2")
    real.close()
    client.close()


def test_announcements_are_read(registry):
    """They are sorted by name; the last announcement of a process counts."""
    registry, _ = registry
    assert registry.processes() == []
    for announcement in (RANKING, GATEWAY, GATEWAY):
        registry.announce(announcement)
    assert registry.processes() == [GATEWAY, RANKING]
    registry.announce(Announcement(RANKING.name, "ranking"))
    assert registry.processes()[1].held == ()


def test_a_withdrawn_process_is_gone(registry):
    """An unknown name is no error."""
    registry, _ = registry
    registry.announce(RANKING)
    registry.withdraw(RANKING.name)
    registry.withdraw("nobody")
    assert registry.processes() == []


def test_a_killed_process_of_this_machine_is_left_out(registry):
    """It is left out at once. Running processes and processes of other machines stay."""
    registry, _ = registry
    ended = subprocess.Popen(["sleep", "30"])
    life = ProcessIdentity.of(ended.pid)
    announced = [
        Announcement("a", "ranking", life=life),
        Announcement("b", "ranking", life=replace(life, place="another boot")),
        Announcement("c", "ranking", life=ProcessIdentity.current()),
    ]
    for announcement in announced:
        registry.announce(announcement)
    assert registry.processes() == announced
    ended.kill()
    ended.wait()
    assert registry.processes() == announced[1:]
    assert [registry.remove_ended(), registry.remove_ended()] == [announced[:1], []]
    assert registry.processes() == announced[1:]


def test_a_moved_alias_ends_a_wait(registry):
    """Without one the wait ends after its seconds."""
    registry, ring = registry
    registry.wait(0.05)  # subscribes
    registry.wait(0.05)
    received = threading.Event()

    def wait():
        registry.wait(30)
        received.set()

    threading.Thread(target=wait, daemon=True).start()
    time.sleep(0.1)
    ring()
    assert received.wait(10)


@pytest.mark.parametrize("url", ["own_valkey_url", "own_redis_url"])
def test_a_new_subscription_ends_a_wait(request, url):
    """After a dropped connection announcements may have been missed."""
    url = request.getfixturevalue(url)
    registry = RedisProcessRegistry(url)
    with redis.Redis.from_url(url) as client:
        registry.wait(10)  # the confirmation of the subscription
        start = time.monotonic()
        registry.wait(0.2)
        assert time.monotonic() - start >= 0.2
        client.client_kill_filter(_type="pubsub")
        registry.wait(30)
        assert time.monotonic() - start < 10
    registry.close()


@pytest.mark.parametrize("url", ["own_valkey_url", "own_redis_url"])
def test_an_announcement_expires(request, url):
    """Redis expires it, and the next read deletes its name."""
    url = request.getfixturevalue(url)
    registry = RedisProcessRegistry(url)
    with redis.Redis.from_url(url, decode_responses=True) as client:
        client.delete("processes")
        registry.announce(RANKING)
        assert 0 < client.ttl(f"process:{RANKING.name}") <= ANNOUNCED_SECONDS
        client.delete(f"process:{RANKING.name}")  # as its expiry does
        assert registry.processes() == []
        assert client.smembers("processes") == set()
    registry.close()


def test_an_unreachable_board_is_an_error_and_a_wait_still_waits():
    """A loop over `wait` must not spin without Redis."""
    registry = RedisProcessRegistry("redis://127.0.0.1:1/0")
    with pytest.raises(StoreUnavailable):
        registry.processes()
    start = time.monotonic()
    registry.wait(0.3)
    assert time.monotonic() - start >= 0.3


def test_an_unreadable_announcement_is_left_out(own_valkey_url):
    """An entry of another version does not fail the read of the others."""
    registry = RedisProcessRegistry(own_valkey_url)
    with redis.Redis.from_url(own_valkey_url) as client:
        client.delete("processes")
        registry.announce(GATEWAY)
        client.sadd("processes", "odd")
        for odd in ("", "[]", "{}", "nonsense"):
            client.set("process:odd", odd)
            assert registry.processes() == [GATEWAY]
        client.delete("process:odd", "processes")
    registry.close()

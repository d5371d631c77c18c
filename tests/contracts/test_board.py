"""What the board does, shown on the fake, on the embedded Valkey and on Debian's Redis alike."""

import subprocess
import threading
import time
from dataclasses import replace

import pytest
import redis

from recsys.errors import StoreUnavailable
from recsys.process.process_identity import ProcessIdentity
from recsys.store.memory.memory_board import MemoryBoard
from recsys.store.process_board import ANNOUNCED_SECONDS, Announcement
from recsys.store.redis.generation_store import ALIASES_CHANNEL
from recsys.store.redis.redis_board import RedisBoard

RANKING = Announcement("ranking here 7", "ranking", ("g1", "g2"), (), {"g3": "Part x is not what its manifest says."})
GATEWAY = Announcement("gateway here 8", "gateway", ("g2",), ("g2",))


@pytest.fixture(params=["memory", "valkey", "redis"])
def board(request):
    """One of the boards, and how to ring its bell."""
    if request.param == "memory":
        fake = MemoryBoard()
        yield fake, fake.ring
        return
    url = request.getfixturevalue("own_valkey_url" if request.param == "valkey" else "own_redis_url")
    client, real = redis.Redis.from_url(url), RedisBoard(url)
    client.delete("processes")
    yield real, lambda: client.publish(ALIASES_CHANNEL, "live g2")
    real.close()
    client.close()


def test_what_is_announced_is_read_by_all(board):
    """By name, as it was last said."""
    board, _ = board
    assert board.processes() == []
    for holding in (RANKING, GATEWAY, GATEWAY):
        board.announce(holding)
    assert board.processes() == [GATEWAY, RANKING]
    board.announce(Announcement(RANKING.name, "ranking"))
    assert board.processes()[1].held == ()


def test_who_leaves_is_gone(board):
    """At once."""
    board, _ = board
    board.announce(RANKING)
    board.withdraw(RANKING.name)
    board.withdraw("nobody")
    assert board.processes() == []


def test_who_was_killed_on_this_machine_is_gone(board):
    """At once, though it said nothing; who runs, and who ran elsewhere, stays."""
    board, _ = board
    ended = subprocess.Popen(["sleep", "30"])
    life = ProcessIdentity.of(ended.pid)
    told = [
        Announcement("a", "ranking", life=life),
        Announcement("b", "ranking", life=replace(life, place="another boot")),
        Announcement("c", "ranking", life=ProcessIdentity.current()),
    ]
    for holding in told:
        board.announce(holding)
    assert board.processes() == told
    ended.kill()
    ended.wait()
    assert board.processes() == told[1:]
    assert [board.remove_ended(), board.remove_ended()] == [told[:1], []]
    assert board.processes() == told[1:]


def test_the_bell_ends_a_wait(board):
    """An alias that moves is heard long before the wait is over; without one the wait ends by itself."""
    board, ring = board
    board.wait(0.05)  # subscribes, where that is needed
    board.wait(0.05)
    heard = threading.Event()

    def wait():
        board.wait(30)
        heard.set()

    threading.Thread(target=wait, daemon=True).start()
    time.sleep(0.1)
    ring()
    assert heard.wait(10)


@pytest.mark.parametrize("url", ["own_valkey_url", "own_redis_url"])
def test_who_was_cut_off_looks_at_once(request, url):
    """A subscription that is made anew heard nothing meanwhile: that it is there again rings."""
    url = request.getfixturevalue(url)
    board = RedisBoard(url)
    with redis.Redis.from_url(url) as client:
        board.wait(10)  # that it subscribed
        start = time.monotonic()
        board.wait(0.2)
        assert time.monotonic() - start >= 0.2
        client.client_kill_filter(_type="pubsub")
        board.wait(30)
        assert time.monotonic() - start < 10
    board.close()


@pytest.mark.parametrize("url", ["own_valkey_url", "own_redis_url"])
def test_who_says_no_more_is_forgotten_by_the_servers_clock(request, url):
    """An announcement expires, and its name goes with the next look."""
    url = request.getfixturevalue(url)
    board = RedisBoard(url)
    with redis.Redis.from_url(url, decode_responses=True) as client:
        client.delete("processes")
        board.announce(RANKING)
        assert 0 < client.ttl(f"process:{RANKING.name}") <= ANNOUNCED_SECONDS
        client.delete(f"process:{RANKING.name}")  # as expiry does
        assert board.processes() == []
        assert client.smembers("processes") == set()
    board.close()


def test_a_board_out_of_reach_says_so_and_waits_no_longer_than_told():
    """A wait is a wait: whoever follows aliases must not spin when Redis is away."""
    board = RedisBoard("redis://127.0.0.1:1/0")
    with pytest.raises(StoreUnavailable):
        board.processes()
    start = time.monotonic()
    board.wait(0.3)
    assert time.monotonic() - start >= 0.3


def test_what_is_no_holding_is_left_out(own_valkey_url):
    """An entry of another version costs nobody the others."""
    board = RedisBoard(own_valkey_url)
    with redis.Redis.from_url(own_valkey_url) as client:
        client.delete("processes")
        board.announce(GATEWAY)
        client.sadd("processes", "odd")
        for odd in ("", "[]", "{}", "nonsense"):
            client.set("process:odd", odd)
            assert board.processes() == [GATEWAY]
        client.delete("process:odd", "processes")
    board.close()

"""The contract of `ProcessBoard`, on memory, Valkey and Redis."""

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
    """A board, and a function that announces a moved alias."""
    if request.param == "memory":
        memory = MemoryBoard()
        yield memory, memory.ring
        return
    url = request.getfixturevalue("own_valkey_url" if request.param == "valkey" else "own_redis_url")
    client, real = redis.Redis.from_url(url), RedisBoard(url)
    client.delete("processes")
    yield real, lambda: client.publish(ALIASES_CHANNEL, "live g2")
    real.close()
    client.close()


def test_announcements_are_read(board):
    """They are sorted by name; the last announcement of a process counts."""
    board, _ = board
    assert board.processes() == []
    for announcement in (RANKING, GATEWAY, GATEWAY):
        board.announce(announcement)
    assert board.processes() == [GATEWAY, RANKING]
    board.announce(Announcement(RANKING.name, "ranking"))
    assert board.processes()[1].held == ()


def test_a_withdrawn_process_is_gone(board):
    """An unknown name is no error."""
    board, _ = board
    board.announce(RANKING)
    board.withdraw(RANKING.name)
    board.withdraw("nobody")
    assert board.processes() == []


def test_a_killed_process_of_this_machine_is_left_out(board):
    """It is left out at once. Running processes and processes of other machines stay."""
    board, _ = board
    ended = subprocess.Popen(["sleep", "30"])
    life = ProcessIdentity.of(ended.pid)
    announced = [
        Announcement("a", "ranking", life=life),
        Announcement("b", "ranking", life=replace(life, place="another boot")),
        Announcement("c", "ranking", life=ProcessIdentity.current()),
    ]
    for announcement in announced:
        board.announce(announcement)
    assert board.processes() == announced
    ended.kill()
    ended.wait()
    assert board.processes() == announced[1:]
    assert [board.remove_ended(), board.remove_ended()] == [announced[:1], []]
    assert board.processes() == announced[1:]


def test_a_moved_alias_ends_a_wait(board):
    """Without one the wait ends after its seconds."""
    board, ring = board
    board.wait(0.05)  # subscribes
    board.wait(0.05)
    received = threading.Event()

    def wait():
        board.wait(30)
        received.set()

    threading.Thread(target=wait, daemon=True).start()
    time.sleep(0.1)
    ring()
    assert received.wait(10)


@pytest.mark.parametrize("url", ["own_valkey_url", "own_redis_url"])
def test_a_new_subscription_ends_a_wait(request, url):
    """After a dropped connection announcements may have been missed."""
    url = request.getfixturevalue(url)
    board = RedisBoard(url)
    with redis.Redis.from_url(url) as client:
        board.wait(10)  # the confirmation of the subscription
        start = time.monotonic()
        board.wait(0.2)
        assert time.monotonic() - start >= 0.2
        client.client_kill_filter(_type="pubsub")
        board.wait(30)
        assert time.monotonic() - start < 10
    board.close()


@pytest.mark.parametrize("url", ["own_valkey_url", "own_redis_url"])
def test_an_announcement_expires(request, url):
    """Redis expires it, and the next read deletes its name."""
    url = request.getfixturevalue(url)
    board = RedisBoard(url)
    with redis.Redis.from_url(url, decode_responses=True) as client:
        client.delete("processes")
        board.announce(RANKING)
        assert 0 < client.ttl(f"process:{RANKING.name}") <= ANNOUNCED_SECONDS
        client.delete(f"process:{RANKING.name}")  # as its expiry does
        assert board.processes() == []
        assert client.smembers("processes") == set()
    board.close()


def test_an_unreachable_board_is_an_error_and_a_wait_still_waits():
    """A loop over `wait` must not spin without Redis."""
    board = RedisBoard("redis://127.0.0.1:1/0")
    with pytest.raises(StoreUnavailable):
        board.processes()
    start = time.monotonic()
    board.wait(0.3)
    assert time.monotonic() - start >= 0.3


def test_an_unreadable_announcement_is_left_out(own_valkey_url):
    """An entry of another version does not fail the read of the others."""
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

"""The contract of `RedisProcessRegistry`, on Valkey and Redis."""

import subprocess
import threading
import time
from dataclasses import replace

from recsys.process.process_identity import ProcessIdentity
from recsys.store.process_registry import ANNOUNCED_SECONDS, Announcement

RANKING = Announcement("ranking here 7", "ranking", ("g1", "g2"), (), {"g3": "Part x is not what its manifest says."})
GATEWAY = Announcement("gateway here 8", "gateway", ("g2",), ("g2",))


def test_announcements_are_read(store):
    """They are sorted by name; the last announcement of a process counts."""
    registry = store.registry
    assert registry.processes() == []
    for announcement in (RANKING, GATEWAY, GATEWAY):
        registry.announce(announcement)
    assert registry.processes() == [GATEWAY, RANKING]
    registry.announce(Announcement(RANKING.name, "ranking"))
    assert registry.processes()[1].held == ()


def test_a_killed_process_of_this_machine_is_left_out(store):
    """It is left out at once. Running processes and processes of other machines stay."""
    registry = store.registry
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


def test_a_moved_alias_ends_a_wait(store):
    """Without one the wait ends after its seconds."""
    registry = store.registry
    registry.wait(0.05)  # subscribes
    registry.wait(0.05)
    received = threading.Event()

    def wait():
        registry.wait(30)
        received.set()

    threading.Thread(target=wait, daemon=True).start()
    time.sleep(0.1)
    store.ring()
    assert received.wait(10)


def test_an_announcement_expires(store):
    """Redis expires it, and the next read deletes its name."""
    store.registry.announce(RANKING)
    assert 0 < store.client.ttl(f"process:{RANKING.name}") <= ANNOUNCED_SECONDS
    store.client.delete(f"process:{RANKING.name}")  # as its expiry does
    assert store.registry.processes() == []
    assert store.client.smembers("processes") == set()

"""Tests two publishers of models at once, as real processes: the older one never replaces the newer one's models."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from recsys.store.stored_types import LIVE, PREVIOUS
from tests.chaos.publishing_world import PublishingWorld
from tests.servers.deployment import ROOT

LEASE = 0.6
"""Seconds; a test waits for the end of the lease."""

PUBLISH = """
import sys
from pathlib import Path
from recsys.errors import TandemError
from recsys.generation.manifest import GenerationFolder
from tests.chaos.publishing_world import PublishingWorld
from tests.servers.deployment import ROOT

url, home, generation, stop_at, lease = sys.argv[1:]

def wait_at(word):
    print(word, flush=True)
    sys.stdin.readline()

def smoke(folder):
    if stop_at == "smoke":
        wait_at("smoke")

world = PublishingWorld(url, Path(home))
if stop_at == "promote":
    from recsys.store import RedisGenerationStore
    promote = RedisGenerationStore.promote
    def late(store, *args, **options):
        wait_at("promote")
        return promote(store, *args, **options)
    RedisGenerationStore.promote = late
try:
    world.publish(generation, smoke, float(lease))
    print("done", flush=True)
except TandemError as error:
    print(type(error).__name__, error, flush=True)
"""


class OtherPublisher:
    """A publisher in a process of its own, which waits at a step until `go_on`."""

    def __init__(self, world: PublishingWorld, generation: str, stop_at: str, lease: float = LEASE) -> None:
        command = [sys.executable, "-c", PUBLISH, world.url, str(world.home), generation, stop_at, str(lease)]
        self._process = subprocess.Popen(
            command,
            cwd=ROOT,
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=os.environ | {"PYTHONPATH": "."},
        )
        self.pid = self._process.pid

    def line(self) -> str:
        """The next line of its output."""
        assert self._process.stdout
        return self._process.stdout.readline().strip()

    def go_on(self) -> str:
        """Let it continue; its last line."""
        assert self._process.stdin
        self._process.send_signal(signal.SIGCONT)
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        said = self.line()
        self._process.wait(20)
        return said

    def stop(self) -> None:
        """SIGSTOP: no thread runs, the one that renews the claim included."""
        self._process.send_signal(signal.SIGSTOP)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()


@pytest.fixture
def two(world: PublishingWorld) -> PublishingWorld:
    """A store with a live generation, and two generations to publish."""
    for generation in ("g1", "g2", "g3"):
        world.make(generation, items=100, users=20)
    world.publish("g1")
    return world


def test_a_second_publisher_is_refused(two: PublishingWorld) -> None:
    """The error names the process that publishes, the second changes nothing, and the first ends."""
    first = OtherPublisher(two, "g2", "smoke", 30)
    assert first.line() == "smoke"
    second = OtherPublisher(two, "g3", "nowhere")
    said = second.line()
    assert said.startswith(f"PublisherBusy Process {first.pid} on ")
    assert " has been publishing g2 for " in said
    assert two.store.generations() == ["g1"]
    assert first.go_on() == "done"
    assert (two.alias(LIVE), two.store.generations()) == ("g2", ["g1", "g2"])
    two.publish("g3")
    assert two.alias(LIVE) == "g3"
    second.kill()


def test_a_publisher_that_was_stopped_past_its_lease_is_refused(two: PublishingWorld) -> None:
    """Another publisher overtook it: its manifest is refused. A second run makes its generation live."""
    sleeper = OtherPublisher(two, "g2", "smoke")
    assert sleeper.line() == "smoke"
    sleeper.stop()
    time.sleep(2 * LEASE)
    two.publish("g3")
    assert sleeper.go_on().startswith("StalePublisher This publisher was paused for longer than its claim lasts")
    assert (two.alias(LIVE), two.alias(PREVIOUS)) == ("g3", "g1")
    assert two.store.generations() == ["g1", "g3"]
    assert two.nameless() == set()
    two.publish("g2")  # a new run is the newest
    assert two.store.generations() == ["g1", "g3", "g2"]
    assert two.alias(LIVE) == "g2"


def test_a_publisher_that_was_stopped_before_its_promote_does_not_overtake(two: PublishingWorld) -> None:
    """Its manifest is written and a later generation is live: its promote is refused by its fence."""
    sleeper = OtherPublisher(two, "g2", "promote")
    assert sleeper.line() == "promote"
    sleeper.stop()
    two.publish("g3")
    said = sleeper.go_on()
    assert said.startswith("StalePublisher Generation g2 or a later one was live before (g3 is live now)")
    assert "python -m flows promote g2" in said
    assert (two.alias(LIVE), two.alias(PREVIOUS)) == ("g3", "g1")
    assert two.store.generations() == ["g1", "g2", "g3"]
    assert two.store.promote("g2").was == "g3"


def test_the_claim_of_a_killed_publisher_is_free_at_once(two: PublishingWorld) -> None:
    """After SIGKILL no publisher waits for the lease, also while the process is a zombie."""
    first = OtherPublisher(two, "g2", "smoke", 3_600)
    assert first.line() == "smoke"
    os.kill(first.pid, signal.SIGKILL)
    while Path(f"/proc/{first.pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z":
        time.sleep(0.01)
    two.publish("g3")
    assert two.alias(LIVE) == "g3"
    first.kill()

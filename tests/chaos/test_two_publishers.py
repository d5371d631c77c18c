"""Two publishers at once, and one that slept: real processes, and what is live is never the older one's doing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from recsys.store.ports import LIVE, PREVIOUS
from tests.chaos.publishing_world import PublishingWorld

ROOT = Path(__file__).parents[2]

LEASE = 0.6
"""Seconds; short, since a test waits for its end."""

PUBLISH = """
import sys
from pathlib import Path
from recsys.errors import TandemError
from recsys.generation.manifest import GenerationFolder
from tests.chaos.publishing_world import PublishingWorld

url, home, generation, stop_at, lease = sys.argv[1:]

def say(word):
    print(word, flush=True)
    sys.stdin.readline()

def smoke(folder):
    if stop_at == "smoke":
        say("smoke")

world = PublishingWorld(url, Path(home))
if stop_at == "promote":
    from recsys.store import RedisGenerationStore
    promote = RedisGenerationStore.promote
    def late(store, *args, **options):
        say("promote")
        return promote(store, *args, **options)
    RedisGenerationStore.promote = late
try:
    world.publish(generation, smoke, float(lease))
    print("done", flush=True)
except TandemError as error:
    print(type(error).__name__, error, flush=True)
"""


class Other:
    """A publisher in a process of its own, which stops at a place and goes on when it is told."""

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
        """What it says next."""
        assert self._process.stdout
        return self._process.stdout.readline().strip()

    def go_on(self) -> str:
        """Let it go on, if it waits; the last thing it says."""
        assert self._process.stdin
        self._process.send_signal(signal.SIGCONT)
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        said = self.line()
        self._process.wait(20)
        return said

    def stop(self) -> None:
        """SIGSTOP: all its threads sleep, the one that renews the claim too."""
        self._process.send_signal(signal.SIGSTOP)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()


@pytest.fixture
def two(world: PublishingWorld) -> PublishingWorld:
    """A live generation and two to publish."""
    for generation in ("g1", "g2", "g3"):
        world.make(generation, items=100, users=20)
    world.publish("g1")
    return world


def test_the_second_stops_with_a_sentence(two: PublishingWorld) -> None:
    """While one publishes another is told who it is, and changes nothing; then the first gets to its end."""
    first = Other(two, "g2", "smoke", 30)
    assert first.line() == "smoke"
    second = Other(two, "g3", "nowhere")
    said = second.line()
    assert said.startswith(f"PublisherBusy Process {first.pid} on ")
    assert " has been publishing g2 for " in said
    assert two.store.generations() == ["g1"]
    assert first.go_on() == "done"
    assert (two.alias(LIVE), two.store.generations()) == ("g2", ["g1", "g2"])
    two.publish("g3")
    assert two.alias(LIVE) == "g3"
    second.kill()


def test_one_that_slept_past_its_claim_can_no_more_finish(two: PublishingWorld) -> None:
    """Stopped in the middle, overtaken, woken: its manifest is refused, and run again it does not go live by itself."""
    sleeper = Other(two, "g2", "smoke")
    assert sleeper.line() == "smoke"
    sleeper.stop()
    time.sleep(2 * LEASE)
    two.publish("g3")
    assert sleeper.go_on().startswith("StalePublisher This publisher was paused for longer than its claim lasts")
    assert (two.alias(LIVE), two.alias(PREVIOUS)) == ("g3", "g1")
    assert two.store.generations() == ["g1", "g3"]
    assert two.nameless() == set()
    two.publish("g2")  # begun anew, it is the newest
    assert two.store.generations() == ["g1", "g3", "g2"]
    assert two.alias(LIVE) == "g2"


def test_one_that_slept_before_its_promote_does_not_overtake(two: PublishingWorld) -> None:
    """With its manifest written and a later one live meanwhile, its promote is refused by the order of fences."""
    sleeper = Other(two, "g2", "promote")
    assert sleeper.line() == "promote"
    sleeper.stop()
    two.publish("g3")
    said = sleeper.go_on()
    assert said.startswith("StalePublisher Generation g2 or a later one was live before (g3 is live now)")
    assert "python -m flows promote g2" in said
    assert (two.alias(LIVE), two.alias(PREVIOUS)) == ("g3", "g1")
    assert two.store.generations() == ["g1", "g2", "g3"]
    assert two.store.promote("g2").was == "g3"


def test_the_claim_of_a_killed_one_is_free_at_once(two: PublishingWorld) -> None:
    """After kill -9 nobody waits for the lease, since the process is known to be gone; a zombie is gone, too."""
    first = Other(two, "g2", "smoke", 3_600)
    assert first.line() == "smoke"
    os.kill(first.pid, signal.SIGKILL)
    while Path(f"/proc/{first.pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z":
        time.sleep(0.01)
    two.publish("g3")
    assert two.alias(LIVE) == "g3"
    first.kill()

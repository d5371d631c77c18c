"""Tests two publishers of models at once, as real processes: the older one never replaces the newer one's models."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from recsys.errors import TandemError
from recsys.store import RedisGenerationStore
from recsys.store.stored_types import LIVE, PREVIOUS
from tests.chaos.publishing_world import PublishingWorld

LEASE = 0.6
"""Seconds; a test waits for the end of the lease."""

ANSWER_SECONDS = 60


def publish(pipe: Connection, url: str, home: Path, generation: str, stop_at: str, lease: float) -> None:
    """Publish a generation, and send the result. At the step `stop_at`, send its name and wait for an answer."""

    def reached(step: str) -> None:
        if step == stop_at:
            pipe.send(step)
            pipe.recv()

    promote = RedisGenerationStore.promote

    def promoted(store: RedisGenerationStore, *args: object, **options: object) -> object:
        reached("promote")
        return promote(store, *args, **options)

    RedisGenerationStore.promote = promoted  # of this process alone
    try:
        PublishingWorld(url, home).publish(generation, lambda _: reached("smoke"), lease)
        pipe.send("done")
    except TandemError as error:
        pipe.send(f"{type(error).__name__} {error}")


class OtherPublisher:
    """A publisher in a process of its own, which waits at a step until `go_on`."""

    def __init__(self, world: PublishingWorld, generation: str, stop_at: str, lease: float = LEASE) -> None:
        self._pipe, theirs = multiprocessing.Pipe()
        arguments = (theirs, world.url, world.home, generation, stop_at, lease)
        self._process = multiprocessing.get_context("fork").Process(target=publish, args=arguments)
        self._process.start()
        self.pid = self._process.pid

    def line(self) -> str:
        """What it sends next."""
        assert self._pipe.poll(ANSWER_SECONDS)
        return self._pipe.recv()

    def go_on(self) -> str:
        """Let it continue; its result."""
        os.kill(self.pid, signal.SIGCONT)
        self._pipe.send("go on")
        said = self.line()
        self._process.join(20)
        return said

    def stop(self) -> None:
        """SIGSTOP: no thread runs, the one that renews the claim included."""
        os.kill(self.pid, signal.SIGSTOP)

    def kill(self) -> None:
        self._process.kill()
        self._process.join()


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

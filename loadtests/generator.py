"""Load generator of one process: sends its share of a load test's requests, each when it is due.

A request does not wait for the answers to earlier ones, so a slow server does not lower the rate.
"""

from __future__ import annotations

import itertools
import random
import time
from argparse import Namespace
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import gevent
from gevent.pool import Group

from loadtests.arrivals import Shape
from loadtests.command_line import shape_of
from loadtests.doors import Door, Id, Reply
from loadtests.processes.usage import cpu_seconds
from loadtests.tally import Outcome, Tally
from loadtests.user_sequence import Population, UserSequence
from recsys.types import LOAD_TEST_USERS

LEAD_SECONDS = 0.1
"""From the call of `Generator.run` to the first moment at which a request may be due."""


@dataclass(frozen=True)
class Share:
    """The requests number, number + of, number + 2 of, ... of a load."""

    number: int
    of: int


@dataclass(frozen=True)
class Arrival:
    """A request to send; at: seconds from the end of the warm-up."""

    at: float
    user: Id
    counted: bool


class Generator:
    """Sends a share of the load that the options describe."""

    def __init__(self, doors: Sequence[Door], options: Namespace, share: Share, population: Population) -> None:
        """doors: one for each Locust user of this process; they send in turn. options: with the rate and k."""
        self.tally = Tally()
        self._doors, self._options = itertools.cycle(doors), options
        self._shape, self._share = shape_of(options), share
        first_rate = self._shape.pieces[0][1]
        warmup = Shape("warm-up", ((options.warmup, first_rate),) if options.warmup else ())
        seeds = (f"warm-up {options.seed}", options.seed)
        users = [UserSequence(population, seed) for seed in seeds]  # before the first arrival: slow for many users
        self._parts = list(zip((warmup, self._shape), seeds, users, (False, True), strict=True))
        self._clicks = random.Random(f"clicks {options.seed} {share.number}")
        self._in_flight = Group()
        self._measured_pid = options.pid if share.number == 0 else 0  # one process measures it for all
        self._cpu_before = 0.0
        self._pacing: gevent.Greenlet | None = None

    def run(self, on_count: Callable[[], None]) -> None:
        """Send the share and wait for the answers; on_count: called when the warm-up ends."""
        self._pacing = gevent.spawn(self._pace, on_count)
        self._pacing.get()
        self._in_flight.join(timeout=self._options.give_up)
        self._in_flight.kill()
        self.tally.cpu_seconds = cpu_seconds(self._measured_pid) - self._cpu_before

    def stop(self) -> None:
        """Send no more; `run` returns when the answers are there."""
        if self._pacing:
            self._pacing.kill()

    def _pace(self, on_count: Callable[[], None]) -> None:
        start, counting = time.perf_counter() + LEAD_SECONDS + self._options.warmup, False
        for arrival in self._arrivals():
            if arrival.counted and not counting:
                gevent.sleep(max(0.0, start - time.perf_counter()))
                counting = True
                if self._options.pid:  # the CPU of the warm-up's answers is not of the run
                    self._in_flight.join(timeout=self._options.give_up)
                    start = time.perf_counter()
                self._cpu_before = cpu_seconds(self._measured_pid)
                on_count()
            wait = start + arrival.at - time.perf_counter()
            if wait > 0:
                gevent.sleep(wait)
            if arrival.counted:
                self.tally.lag.add(1000 * max(0.0, time.perf_counter() - start - arrival.at))
            self._in_flight.spawn(self._send, next(self._doors), arrival, start + arrival.at)
        gevent.sleep(max(0.0, start + self._shape.seconds - time.perf_counter()))

    def _arrivals(self) -> Iterator[Arrival]:
        """The share's arrivals. Each process makes all arrivals: users and moments depend on the seed alone."""
        for shape, seed, users, counted in self._parts:
            first = 0.0 if counted else -shape.seconds
            for number, at in enumerate(shape.arrivals(seed)):
                user = users.next_user()
                if number % self._share.of == self._share.number:
                    yield Arrival(first + at, user, counted)

    def _send(self, door: Door, arrival: Arrival, due: float) -> None:
        options, user = self._options, arrival.user
        clicks = options.clicks and self._clicks.random() < options.click_share
        if clicks:
            user = f"{LOAD_TEST_USERS}{user}"
        reply = Reply(Outcome.FAILED, [], f"no answer in {options.give_up:g} s")  # where the request is killed
        try:
            reply = door.recommend(user, options.k, due if arrival.counted else None)
        finally:
            if arrival.counted:
                self.tally.add(arrival.at, 1000 * (time.perf_counter() - due), reply.outcome, reply.word, reply.ages)
        if clicks and reply.items:
            accepted = door.click(user, self._clicks.choice(reply.items), arrival.counted)
            self.tally.failed_clicks += arrival.counted and not accepted

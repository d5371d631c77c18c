"""One point of a benchmark: a load on one server, its CPU and response times, and whether the server held the rate.

It held the rate if 99 % of the requests got a complete answer, and 99 % of the answers arrived in time.
"""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np

from loadtests.arrivals import Shape
from loadtests.bench.peers.same_slates import K
from loadtests.bench.peers.servers import PeerError, Running
from loadtests.bench.world import World
from loadtests.slo import ROOT
from loadtests.tally import ANSWERED, Outcome, Tally

LEAST_WHOLE = 0.99
"""Share of the requests that get a whole slate from a peer that holds a rate."""

CALM_SECONDS = 20.0

AHEAD = 10
"""Steps of priority of the generator above the server, if the system allows it. A late generator measures nothing."""


@dataclass(frozen=True)
class Point:
    """One server (peer) under one load in one round (pass)."""

    peer: str
    shape: Shape
    number: int
    tally: Tally

    @property
    def rate(self) -> float:
        """The highest rate of the load, requests a second."""
        return max(rate for _, rate in self.shape.pieces)

    @property
    def cpu_ms(self) -> float:
        """CPU of the server for each answered request."""
        return 1e3 * self.tally.cpu_seconds / max(self.tally.count(*ANSWERED), 1)

    def percentile(self, share: float) -> float:
        """Milliseconds from the moment a request was due, of the answered requests."""
        return self.tally.of(*ANSWERED).percentile(share)

    @property
    def whole(self) -> float:
        """Share of the requests that got a whole slate."""
        return self.tally.share(Outcome.WHOLE)

    def held(self, p99_ms: float) -> bool:
        """Whether nearly all requests got a whole slate, 99 % of them in time. With a late generator: False."""
        return not self.tally.generator_late and self.whole >= LEAST_WHOLE and self.percentile(0.99) <= p99_ms

    def line(self) -> str:
        """For the terminal."""
        late = "  (the generator was late)" if self.tally.generator_late else ""
        return (
            f"{self.number + 1}  {self.peer:22}{self.rate:6.0f}/s  {self.cpu_ms:6.2f} ms CPU  p50 "
            f"{self.percentile(0.5):7.1f} ms  p99 {self.percentile(0.99):7.1f} ms  whole {self.whole:7.2%}{late}"
        )

    def to_json(self) -> dict[str, Any]:
        """For a file."""
        figures = {"peer": self.peer, "rate": self.rate, "pass": self.number, "cpu_ms": self.cpu_ms}
        return figures | {"pieces": self.shape.pieces, "late": self.tally.generator_late, **self.tally.to_json()}


class Loader:
    """Sends loads to running peers and prints their figures. A load without a seed gets one that no other load has."""

    def __init__(self, users: Path) -> None:
        """users: a file of ids, the most frequent first."""
        self._users = users
        self._seeds = itertools.count(1)

    def load(
        self,
        peer: Running,
        name: str,
        shape: Shape,
        number: int,
        give_up: float = 10.0,
        seed: int | None = None,
        more: Sequence[str] = (),
    ) -> Point:
        """Run Locust's open loop once. give_up: seconds until a request has failed. seed: of users and arrivals.

        more: further options of loadtests/locustfile.py.
        """
        with tempfile.TemporaryDirectory() as scratch:
            result = Path(scratch) / "load.json"
            seed = next(self._seeds) if seed is None else seed
            command = ["locust", "-f", "loadtests/locustfile.py", "--headless", "--only-summary", "--figures-only"]
            command += ["--host", peer.url, "--pieces", str(shape), "--seed", str(seed), "--k", str(K)]
            command += [
                "--body",
                json.dumps({"user_id": "{id}", "k": K}),
                "--give-up",
                str(give_up),
                "--user-file",
                str(self._users),
                "--pid",
                str(peer.pid),
            ]
            command += ["--result", str(result), "--loglevel", "ERROR", *more]
            ended = subprocess.run(
                [sys.executable, "-m", *command],
                cwd=ROOT,
                capture_output=True,
                text=True,
                check=False,
                preexec_fn=_go_ahead,
            )
            if not result.exists():
                raise PeerError(f"the generator of load failed: {ended.stderr[-1000:]}")
            tally = Tally.from_json(json.loads(result.read_text(encoding="utf-8")))
        point = Point(name, shape, number, tally)
        print(point.line(), flush=True)
        calm(peer)
        return point


def _go_ahead() -> None:
    """In the generator's process: take priority over the server, as if the generator had a machine of its own."""
    with suppress(PermissionError):
        os.setpriority(os.PRIO_PROCESS, 0, os.getpriority(os.PRIO_PROCESS, 0) - AHEAD)


@contextmanager
def loading(place: World) -> Iterator[Loader]:
    """A loader over the users of a world."""
    with tempfile.TemporaryDirectory() as scratch:
        users = Path(scratch) / "users"
        users.write_text("\n".join(np.random.default_rng(0).permutation(place.users)), encoding="utf-8")
        yield Loader(users)


def calm(peer: Running) -> None:
    """Wait until a single request is fast again, so that a load does not affect the next one."""
    end, quick = time.monotonic() + CALM_SECONDS, 0
    while quick < 5 and time.monotonic() < end:
        start = time.monotonic()
        try:
            answer = httpx.post(f"{peer.url}/recommend", json={"user_id": "nobody", "k": K}, timeout=5)
            quick = quick + 1 if answer.status_code == 200 and time.monotonic() - start < 0.1 else 0
        except httpx.HTTPError:
            quick = 0
        time.sleep(0.05)

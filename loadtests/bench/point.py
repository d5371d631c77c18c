"""One load on one peer, what came of it, and whether the peer held it."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np

from loadtests.bench.peers.alike import K
from loadtests.arrivals import Shape
from loadtests.bench.peers.servers import PeerError, Running
from loadtests.slo import ROOT
from loadtests.tally import ANSWERED, Outcome, Tally
from loadtests.bench.world import World

LEAST_WHOLE = 0.99
"""Of the requests get a whole slate from a peer that holds a rate."""

CALM_SECONDS = 20.0

AHEAD = 10
"""How much nicer the measured is than the generator, where that may be set: one that is late says nothing."""


@dataclass(frozen=True)
class Point:
    """One peer under one load in one pass; rate: the load's highest."""

    peer: str
    shape: Shape
    number: int
    tally: Tally

    @property
    def rate(self) -> float:
        """Requests a second, where it is highest."""
        return max(rate for _, rate in self.shape.pieces)

    @property
    def cpu_ms(self) -> float:
        """Of the server, a request that it answered."""
        return 1e3 * self.tally.cpu_seconds / max(self.tally.count(*ANSWERED), 1)

    def percentile(self, share: float) -> float:
        """Milliseconds from the moment a request was due, of those answered."""
        return self.tally.of(*ANSWERED).percentile(share)

    @property
    def whole(self) -> float:
        """Share of the requests that got a whole slate."""
        return self.tally.share(Outcome.WHOLE)

    def held(self, p99_ms: float) -> bool:
        """Whether nearly all got a whole slate, and 99 % in time; a generator that was late cannot tell."""
        return not self.tally.generator_late and self.whole >= LEAST_WHOLE and self.percentile(0.99) <= p99_ms

    def line(self) -> str:
        """For a person who waits."""
        late = "  (the generator was late)" if self.tally.generator_late else ""
        return (
            f"{self.number + 1}  {self.peer:22}{self.rate:6.0f}/s  {self.cpu_ms:6.2f} ms CPU  p50 "
            f"{self.percentile(0.5):7.1f} ms  p99 {self.percentile(0.99):7.1f} ms  whole {self.whole:7.2%}{late}"
        )

    def to_json(self) -> dict[str, Any]:
        """For a file."""
        told = {"peer": self.peer, "rate": self.rate, "pass": self.number, "cpu_ms": self.cpu_ms}
        return told | {"pieces": self.shape.pieces, "late": self.tally.generator_late, **self.tally.to_json()}


class Loader:
    """Puts loads on peers that run, each with a seed that no other has, unless it is given one."""

    def __init__(self, users: Path, told: Callable[[str], object] = print) -> None:
        """users: a file of ids, who asks most first. told: of every point as it comes."""
        self._users, self._told = users, told
        self._seeds = itertools.count(1)

    def load(
        self, peer: Running, name: str, shape: Shape, number: int, give_up: float = 10.0, seed: int | None = None
    ) -> Point:
        """One run of the open loop. give_up: seconds that a request is waited for. seed: of who asks, and when."""
        with tempfile.TemporaryDirectory() as scratch:
            result = Path(scratch) / "load.json"
            url = f"grpc://{peer.grpc}" if peer.grpc else peer.url
            command = ["loadtests.bench.volley", "--host", url, "--pieces", str(shape), "--give-up", str(give_up)]
            seed = next(self._seeds) if seed is None else seed
            command += ["--seed", str(seed), "--k", str(K), "--user-file", str(self._users)]
            command += ["--pid", str(peer.pid), "--result", str(result)]
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
        self._told(point.line())
        calm(peer)
        return point


def _go_ahead() -> None:
    """In the generator: let it have a core when it wants one, as on a machine of its own."""
    with suppress(PermissionError):
        os.setpriority(os.PRIO_PROCESS, 0, os.getpriority(os.PRIO_PROCESS, 0) - AHEAD)


@contextmanager
def loading(place: World) -> Iterator[Loader]:
    """A loader over the users of a world, which tells of each point as it comes."""
    with tempfile.TemporaryDirectory() as scratch:
        users = Path(scratch) / "users"
        users.write_text("\n".join(np.random.default_rng(0).permutation(place.users)), encoding="utf-8")
        yield Loader(users, lambda line: print(line, flush=True))


def calm(peer: Running) -> None:
    """Wait until a lone request is quick again: what one load left behind is not the next one's."""
    end, quick = time.monotonic() + CALM_SECONDS, 0
    while quick < 5 and time.monotonic() < end:
        start = time.monotonic()
        try:
            answer = httpx.post(f"{peer.url}/recommend", json={"user_id": "nobody", "k": K}, timeout=5)
            quick = quick + 1 if answer.status_code == 200 and time.monotonic() - start < 0.1 else 0
        except httpx.HTTPError:
            quick = 0
        time.sleep(0.05)

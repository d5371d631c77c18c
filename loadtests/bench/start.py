"""Benchmark of a deployment's start: the time and CPU until it is ready, and the times of its first answers.

`python -m loadtests.bench.start [--topologies split,inline] [--items 100k] [--passes 5]` starts each topology in
turns over published models, with files that are kept from start to start. The first start fetches everything and is
listed apart. A start ends with /readyz. Then FIRST requests come one after the other, each on a connection of its own.
"""

from __future__ import annotations

import argparse
import http.client
import json
import shutil
import sys
import time
from math import inf
from urllib.parse import urlsplit

import httpx

from loadtests.bench.command_result import error_sentences, finish
from loadtests.bench.figures import cores, machine
from loadtests.bench.peers.same_slates import K
from loadtests.bench.peers.servers import READY_SECONDS, Started, started
from loadtests.bench.reports.start_report import Start, start_report, verdict
from loadtests.bench.world import HOME, World, world
from loadtests.doors import judged_http
from loadtests.options import items, number, one_of, several
from loadtests.processes.usage import cpu_seconds
from loadtests.slo import BROKEN, RESULTS
from loadtests.tally import Outcome

TOPOLOGIES = ("split", "inline")
"""Of the peers."""

FIRST = 20
"""Requests after /readyz."""

LOOK_SECONDS = 0.02
"""Between two calls of /readyz. They cost .02 s of CPU a second."""


def main() -> int:
    """Run the command line; the exit code."""
    options = parser().parse_args()
    starts: list[Start] = []
    with error_sentences(), world(options.items, HOME) as place:
        for topology in options.topologies:
            shutil.rmtree(HOME / "starts" / topology, ignore_errors=True)
        for turn in range(options.passes + 1):
            for topology in options.topologies:
                starts.append(start(topology, turn, place))
                print(starts[-1].line(), flush=True)
    held = verdict(starts)
    byline = f"{options.items:,} items, {options.passes} warm starts of each, {FIRST} requests after each, {cores()}"
    figures = {"machine": machine(), "items": options.items, "starts": [each.to_json() for each in starts]}
    finish(start_report(starts, held, byline), figures | held.to_json(), RESULTS / "start.json")
    return 0 if held.held else BROKEN


def start(topology: str, number: int, place: World) -> Start:
    """One start of a deployment, from its process to the last of its first answers."""
    begun = time.perf_counter()
    more = {"TANDEM_IMPRESSIONS_PER_SECOND": "20"}
    with started(topology, place, HOME / "starts" / topology, **more) as peer:
        _until_ready(peer)
        ready, cpu = time.perf_counter() - begun, cpu_seconds(peer.process.pid)
        users = [place.users[each % len(place.users)] for each in range(FIRST)]
        return Start(topology, number, ready, cpu, tuple(ask(peer.url, user) for user in users))


def ask(url: str, user: str) -> float:
    """Milliseconds to a slate that is not degraded, with its connection; infinite without one, with the reason."""
    parts = urlsplit(url)
    begun = time.perf_counter()
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=10)
    try:
        request = json.dumps({"user_id": user, "k": K})
        connection.request("POST", "/recommend", request, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        body = answer.read()
    except (OSError, http.client.HTTPException) as error:
        print(f"A deployment that was ready did not answer: {error!r}", flush=True)
        return inf
    finally:
        connection.close()
    took = 1000 * (time.perf_counter() - begun)
    reply = judged_http(answer.status, body, K)
    if reply.outcome != Outcome.WHOLE:
        print(f"A deployment that was ready answered with status {answer.status}: {body[:300]!r}", flush=True)
        return inf
    return took


def _until_ready(peer: Started) -> None:
    end = time.monotonic() + READY_SECONDS
    with httpx.Client(base_url=peer.url, timeout=2) as client:
        while time.monotonic() < end and peer.process.poll() is None:
            try:
                if client.get("/readyz").status_code == 200:
                    return
            except httpx.HTTPError:
                pass
            time.sleep(LOOK_SECONDS)
    raise peer.silence


def parser() -> argparse.ArgumentParser:
    """Of the command line."""
    made = argparse.ArgumentParser(prog="python -m loadtests.bench.start", description=__doc__)
    made.add_argument("--items", type=items, default=100_000)
    made.add_argument(
        "--topologies", type=several(one_of(TOPOLOGIES)), default=list(TOPOLOGIES), help=", ".join(TOPOLOGIES)
    )
    made.add_argument("--passes", type=number(int, 1, 100), default=5, help="warm starts of each")
    return made


if __name__ == "__main__":
    sys.exit(main())

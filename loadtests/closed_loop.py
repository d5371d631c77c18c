"""Callers that ask again once they are answered: what few of them get, where nobody else comes meanwhile.

`python -m loadtests.closed_loop [--peers split,split_unmerged,fastapi_same_kernels] [--callers 1,2,4,8,32]
[--seconds 5] [--passes 3] [--beside 0]`: so many connections, each with one request at a time, to peers that all run;
they are loaded in turns. `--peers split --beside 5`: one more asks for five users in one request, and again a second
after its answer; it is not counted. A closed loop hides what an open one shows (who is slow is asked less), so that
nothing is promised by it: it is here because scripts and most tools ask like that. Before anything is timed all slates
are compared.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from loadtests.alike import K
from loadtests.bench_figures import cores
from loadtests.bench_options import peers
from loadtests.ending import sentences
from loadtests.options import items, number, several
from loadtests.peers.servers import PEERS, PeerError, Running
from loadtests.turns import Variant, together
from loadtests.world import HOME, world

WARM_SECONDS = 1.0

BESIDE_SECONDS = 1.0
"""Between two requests for several users."""


@dataclass(frozen=True)
class Told:
    """What callers got in one window. rate: answers a second; p50, p99: milliseconds."""

    rate: float
    p50: float
    p99: float

    def __str__(self) -> str:
        return f"{self.rate:7.0f} answers/s  p50 {self.p50:5.1f} ms  p99 {self.p99:5.1f} ms"


def main() -> int:
    """Run the command line; the exit code."""
    made = parser()
    options = made.parse_args()
    if grpc := [name for name in options.peers if PEERS[name].door == "grpc"]:
        made.error(f"argument --peers: {grpc[0]!r} is asked over gRPC, these callers ask over HTTP")
    if options.beside and (others := [name for name in options.peers if PEERS[name].command != PEERS["split"].command]):
        made.error(f"argument --beside: {others[0]!r} takes one user a request")
    variants = [Variant(name, name) for name in options.peers]
    with sentences(), world(options.items, HOME) as place:
        users = np.random.default_rng(0).permutation(place.users).tolist()
        print(f"{options.items:,} items, {options.seconds:g} s each, {cores()}")
        rounds = len(options.callers)
        for turn, name, peer in together(place, variants, options.passes, rounds):
            callers = options.callers[turn % rounds]
            told = asyncio.run(asked(peer, users, callers, options.seconds, options.beside))
            print(f"{turn // rounds + 1}  {callers:3} callers  {name:22} {told}", flush=True)
    return 0


async def asked(peer: Running, users: Sequence[str], callers: int, seconds: float, beside: int = 0) -> Told:
    """What so many callers get, after a second that is not counted; PeerError for no answer, or what is no 200.

    beside: users that one more asks for at once, now and then; 0 for none.
    """
    began = time.perf_counter() + WARM_SECONDS
    end = began + seconds
    mine = [users[first::callers] for first in range(callers)]
    another = [_beside(peer, users[:beside], end)] if beside else []
    try:
        found = await asyncio.gather(*(_caller(peer, each, began, end) for each in mine), *another)
    except (OSError, EOFError) as error:
        raise PeerError(f"A peer hung up: {error}.") from error
    times = np.concatenate(found) * 1000
    if not len(times):
        raise PeerError(f"A peer answered nobody within {seconds:g} s.")
    return Told(len(times) / seconds, *np.percentile(times, [50, 99]))


async def _caller(peer: Running, users: Sequence[str], began: float, end: float) -> list[float]:
    """Seconds of each answer between the two moments."""
    found: list[float] = []
    async with _connected(peer) as ask:
        turn = 0
        while (asked := time.perf_counter()) < end:
            await ask({"user_id": users[turn % len(users)]})
            if asked >= began:
                found.append(time.perf_counter() - asked)
            turn += 1
    return found


async def _beside(peer: Running, users: Sequence[str], end: float) -> list[float]:
    """Until then; nothing of it is told."""
    async with _connected(peer) as ask:
        while time.perf_counter() < end:
            await ask({"user_ids": users})
            await asyncio.sleep(max(0.0, min(BESIDE_SECONDS, end - time.perf_counter())))
    return []


@asynccontextmanager
async def _connected(peer: Running) -> AsyncIterator[Callable[[dict[str, Any]], Awaitable[None]]]:
    """Asks for slates on one connection, one after the other."""
    place = urlsplit(peer.url)
    reader, writer = await asyncio.open_connection(place.hostname, place.port)

    async def ask(wanted: dict[str, Any]) -> None:
        body = json.dumps(wanted | {"k": K}).encode()
        writer.write(_HEAD % (peer.url.encode(), len(body)) + body)
        await _answer(reader)

    try:
        yield ask
    finally:
        writer.close()


_HEAD = b"POST /recommend HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"


async def _answer(reader: asyncio.StreamReader) -> None:
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    if not head.startswith(b"http/1.1 200"):
        raise PeerError(f"A peer answered {head.splitlines()[0].decode(errors='replace')}.")
    await reader.readexactly(int(head.partition(b"content-length:")[2].split(maxsplit=1)[0]))


def parser() -> argparse.ArgumentParser:
    """Of the command line."""
    made = argparse.ArgumentParser(prog="python -m loadtests.closed_loop", description=__doc__)
    made.add_argument("--items", type=items, default=100_000)
    made.add_argument("--peers", type=peers, default=["split", "split_unmerged", "fastapi_same_kernels"])
    made.add_argument("--callers", type=several(number(int, 1, 1000)), default=[1, 2, 4, 8, 32])
    made.add_argument("--seconds", type=number(float, 1, 3600), default=5)
    made.add_argument("--passes", type=number(int, 1, 100), default=3)
    made.add_argument("--beside", type=number(int, 0, 100), default=0, help="users of a request that another makes")
    return made


if __name__ == "__main__":
    sys.exit(main())

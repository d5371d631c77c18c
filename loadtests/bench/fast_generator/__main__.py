"""Fast load generator: requests recommendations over HTTP or gRPC at rates at which Locust itself would be late.

`python -m loadtests.bench.fast_generator --host http://127.0.0.1:3000 --pieces 10:1000 --result FILE` sends the
requests of loadtests/locustfile.py, without clicks, and writes the same figures. Each request is sent when it is due,
whether or not earlier ones were answered. It takes 0.08 ms of CPU, with Locust 0.28 ms (HTTP, 900 requests a second,
against a server without work). Generator and server share the cores.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import time
from collections import deque
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

import uvloop

from loadtests.arrivals import Shape
from loadtests.bench.fast_generator.connections import Connection, GrpcProtocol, HttpProtocol, Request
from loadtests.doors import Reply
from loadtests.options import number, share, user_file
from loadtests.processes.usage import cpu_seconds
from loadtests.tally import Outcome, Tally
from loadtests.user_sequence import Population, UserSequence

MOST_CONNECTIONS = 8_000


class FastGenerator:
    """Sends the requests of a shape, and counts their outcomes in a tally."""

    def __init__(self, protocol: HttpProtocol | GrpcProtocol, give_up: float, tally: Tally) -> None:
        """give_up: seconds from the moment a request was due until it has failed."""
        self._protocol = protocol
        self._give_up, self._tally = give_up, tally
        self._idle: list[Connection] = []
        self._all: set[Connection] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._fault: BaseException | None = None  # an error of this program, not of the server
        self._under_way: deque[Request] = deque()

    async def follow(self, shape: Shape, seed: int | str, users: UserSequence, counted: bool) -> None:
        """Send all requests of a shape. Return at its end, before the last answers."""
        start = time.perf_counter()
        for at in shape.arrivals(seed):
            # Timers are rounded to a millisecond: wait half of one more, so that no request is sent early.
            wait = start + at - time.perf_counter()
            await asyncio.sleep(wait + 5e-4 if wait > 0 else 0)
            if counted:
                self._tally.lag.add(1000 * max(0.0, time.perf_counter() - start - at))
            self._send(Request(self._protocol.message(users.next_user()), start + at, at, counted))
            self._give_up_late()
        while (wait := start + shape.seconds - time.perf_counter()) > 0:
            await asyncio.sleep(min(wait, 0.1))
            self._give_up_late()

    async def settle(self) -> None:
        """Wait for the last answers, or until they have failed."""
        while any(not request.over for request in self._under_way):
            self._give_up_late()
            await asyncio.sleep(0.01)

    async def close(self) -> None:
        """Every connection."""
        for connection in [*self._all]:
            connection.close()
        await self._protocol.close()

    def _send(self, request: Request, again: bool = False) -> None:
        if not again:
            self._under_way.append(request)
        while self._idle:
            connection = self._idle.pop()
            if connection.open:
                connection.send(request)
                return
        if len(self._all) + len(self._tasks) >= MOST_CONNECTIONS:
            self._over(request, Outcome.FAILED, f"{MOST_CONNECTIONS:,} are open already")
            return
        task = asyncio.get_running_loop().create_task(self._connect(request))
        self._tasks.add(task)
        task.add_done_callback(self._connected)

    async def _connect(self, request: Request) -> None:
        try:
            connection = await self._protocol.connect(self._answered, self._lost)
        except OSError:
            self._over(request, Reply(Outcome.FAILED, [], "no answer"))
            return
        self._all.add(connection)
        if request.over:
            self._idle.append(connection)
        else:
            connection.send(request)

    def _connected(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception():
            self._fault = task.exception()

    def _answered(self, connection: Connection, status: int, body: bytes) -> None:
        request, connection.request = connection.request, None
        now = time.perf_counter()
        if request and not request.over:
            reply = self._protocol.judge(status, body)
            self._over(request, reply, now)
        self._idle.append(connection)

    def _lost(self, connection: Connection, unread: bool) -> None:
        self._all.discard(connection)
        request, connection.request = connection.request, None
        if request is None or request.over:
            return
        if unread:
            self._send(request, again=True)  # the server closed the connection for being idle
        else:
            self._over(request, Outcome.FAILED, "no answer")

    def _give_up_late(self) -> None:
        """Fail the requests that have waited too long."""
        if self._fault:
            raise self._fault
        now = time.perf_counter()
        while self._under_way and (self._under_way[0].over or now - self._under_way[0].due > self._give_up):
            request = self._under_way.popleft()
            if not request.over:
                self._over(request, Reply(Outcome.FAILED, [], f"no answer in {self._give_up:g} s"), now)
                if request.connection:
                    request.connection.close()

    def _over(self, request: Request, reply: Reply, now: float = 0.0) -> None:
        request.over = True
        if request.counted:
            milliseconds = 1000 * ((now or time.perf_counter()) - request.due)
            self._tally.add(request.at, milliseconds, reply.outcome, reply.word, reply.ages)


async def generate(options: argparse.Namespace, tally: Tally) -> None:
    """Send the warm-up, then the counted requests. CPU is that of the counted requests alone."""
    names = tuple(Path(options.user_file).read_text(encoding="utf-8").splitlines()) if options.user_file else ()
    population = Population(names=names, cold_share=options.cold_share)
    protocol: HttpProtocol | GrpcProtocol = GrpcProtocol(options.host, options.k)
    if urlsplit(options.host).scheme == "http":
        protocol = HttpProtocol(options.host, options.k, options.path, options.body)
    sender = FastGenerator(protocol, options.give_up, tally)
    shape: Shape = options.pieces
    warmup = Shape("warm-up", ((options.warmup, shape.pieces[0][1]),))
    await sender.follow(warmup, f"warm-up {options.seed}", UserSequence(population, f"warm-up {options.seed}"), False)
    await sender.settle()
    cpu = cpu_seconds(options.pid)
    await sender.follow(shape, options.seed, UserSequence(population, options.seed), True)
    await sender.settle()
    tally.cpu_seconds = cpu_seconds(options.pid) - cpu
    await sender.close()


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m loadtests.bench.fast_generator", description=__doc__)
    parser.add_argument("--host", required=True, help="URL: http://... or grpc://...")
    parser.add_argument("--pieces", type=Shape.read, required=True, help="SECONDS:RATE,SECONDS:RATE")
    parser.add_argument(
        "--warmup", type=number(float, 0, 3600), default=3, help="seconds at the first rate, not counted"
    )
    parser.add_argument("--seed", type=int, default=1, help="of arrivals and users")
    parser.add_argument("--k", type=number(int, 1, 100), default=10, help="items of a slate")
    parser.add_argument("--path", default="/recommend", help="of another verb, over HTTP alone")
    parser.add_argument("--body", default="", help='JSON of its requests, where "{id}" stands for the user')
    parser.add_argument("--cold-share", type=share, default=Population.cold_share, help="of unknown users")
    parser.add_argument("--give-up", type=number(float, 0.001, 3600), default=10, help="seconds")
    parser.add_argument("--user-file", type=user_file, help="ids, one a line, the most frequent first")
    parser.add_argument("--pid", type=int, default=0, help="of the server: its CPU time is measured, too")
    parser.add_argument("--result", type=Path, required=True, help="where the figures go")
    options = parser.parse_args()
    tally = Tally()
    with suppress(PermissionError):  # for root alone: a generator that waits for a core measures that wait
        os.setpriority(os.PRIO_PROCESS, 0, -10)
    uvloop.run(generate(options, tally))
    options.result.write_text(json.dumps(tally.to_json()), encoding="utf-8")


if __name__ == "__main__":
    main()

"""Parts of a deployment that answer, but late: every answer still comes by its deadline."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

from tests.chaos.faults import is_whole
from tests.chaos.load import Answer
from tests.chaos.outcome import Outcome, judge
from tests.chaos.served import Pair, Served
from tests.servers.deployment import ROOT, free_port

DELAY = 0.2
DEADLINE = 0.5
"""As slo.toml has it."""

SLACK = 0.010
"""Seconds past the deadline that an answer may come (issue 5), on a quiet machine."""

AGAIN = 5.0
"""Seconds from the end to the first whole answer, at most (issue 5)."""


class Line:
    """A loopback port that leads to a store, and can take its time with what comes back."""

    def __init__(self) -> None:
        self.delay = 0.0
        self.target: Callable[[], str] = str
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="line", daemon=True)

    def __enter__(self) -> Line:
        self._thread.start()
        started = asyncio.run_coroutine_threadsafe(
            asyncio.start_server(self._serve, "127.0.0.1", self.port), self._loop
        )
        started.result(5)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        place = urlsplit(self.target())
        with suppress(OSError):
            back, forth = await asyncio.open_connection(place.hostname, place.port)
            await asyncio.gather(self._copy(reader, forth, False), self._copy(back, writer, True))

    async def _copy(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, late: bool) -> None:
        with suppress(OSError):
            while data := await source.read(1 << 16):
                if late and self.delay:
                    await asyncio.sleep(self.delay)
                sink.write(data)
                await sink.drain()
        with suppress(OSError):
            sink.close()


@contextmanager
def slowable(pair: Pair, folder: Path, binary: Path | None = None) -> Iterator[tuple[Served, Line, Path]]:
    """A deployment whose store is behind a line, and whose models have brakes in a folder."""
    brakes = folder / "brakes"
    brakes.mkdir(parents=True)
    with Line() as line:
        path = f"{ROOT / 'tests' / 'chaos' / 'brakes'}"
        world = Served(folder, pair, binary, REDIS_URL=line.url, PYTHONPATH=path, TANDEM_BRAKES=str(brakes))
        line.target = lambda: world.server.url
        with world:
            yield world, line, brakes


def all_slow(pair: Pair, folder: Path, binary: Path | None = None, slack: float | None = None) -> Iterator[Outcome]:
    """Retrieval, ranking and the store, one after the other, DELAY later than they would be.

    slack: what an answer may take past its deadline; for quiet machines.
    """
    with slowable(pair, folder, binary) as (world, line, brakes):
        for name in ("retrieval", "ranking"):
            brake = brakes / name

            def off(brake: Path = brake) -> None:
                brake.unlink()

            yield _slow(world, name, lambda brake=brake: brake.write_text(str(DELAY)), off, slack)
        yield _slow(world, "store", lambda: setattr(line, "delay", DELAY), lambda: setattr(line, "delay", 0.0), slack)


def _slow(
    world: Served, name: str, begin: Callable[[], object], end: Callable[[], object], slack: float | None
) -> Outcome:
    with world.load() as load:
        time.sleep(2)
        begin()
        time.sleep(6)
        end()
        recovery = load.wait(is_whole, 30)
        time.sleep(1)
    wrong = _lacking(load.answers, name)
    slowest = max(answer.seconds for answer in load.answers)
    if slack is not None and slowest > DEADLINE + slack:
        wrong.append(f"the slowest answer took {1e3 * slowest:.0f} ms")
    world.settle()
    return judge(
        f"{name} slowed by {1e3 * DELAY:.0f} ms",
        load.answers,
        world.expected,
        recovery,
        within=AGAIN,
        note=f"slowest answer {1e3 * slowest:.0f} ms",
        wrong=wrong,
    )


def _lacking(answers: list[Answer], name: str) -> list[str]:
    """What answers did without that was not slow."""
    more = {each for answer in answers for each in answer.degraded} - {name}
    return [f"answers had to do without {', '.join(sorted(more))}"] if more else []

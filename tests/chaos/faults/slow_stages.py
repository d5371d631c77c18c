"""Slow stages for chaos tests: retrieval, ranking or Redis answers 200 ms late; the service must keep its deadline."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

from tests.judged_load.outcome import Limits, Outcome, judge, missing_stages
from tests.judged_load.served_pair import GenerationPair, ServedPair
from tests.servers.deployment import free_port

BRAKES = Path(__file__).parent / "brakes"
"""On the PYTHONPATH of a service it slows stages."""

DELAY_SECONDS = 0.2
DEADLINE_SECONDS = 0.5
"""As in slo.toml."""

SLACK_SECONDS = 0.010
"""Limit beyond the deadline, on a machine without other work."""

RECOVERY_SECONDS = 5.0
"""From the end of the fault to the first whole answer, at most."""


class SlowProxy:
    """A loopback port in front of a store, which delays the store's replies by `delay` seconds."""

    def __init__(self) -> None:
        self.delay = 0.0
        self.target: Callable[[], str] = str
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="slow proxy", daemon=True)

    def __enter__(self) -> SlowProxy:
        self._thread.start()
        server = asyncio.start_server(self._serve, "127.0.0.1", self.port)
        asyncio.run_coroutine_threadsafe(server, self._loop).result(5)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        target = urlsplit(self.target())
        with suppress(OSError):
            replies, commands = await asyncio.open_connection(target.hostname, target.port)
            await asyncio.gather(self._copy(reader, commands, False), self._copy(replies, writer, True))

    async def _copy(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, delayed: bool) -> None:
        with suppress(OSError):
            while data := await source.read(1 << 16):
                if delayed and self.delay:
                    await asyncio.sleep(self.delay)
                sink.write(data)
                await sink.drain()
        with suppress(OSError):
            sink.close()


@contextmanager
def slowable(pair: GenerationPair, folder: Path) -> Iterator[tuple[ServedPair, SlowProxy, Path]]:
    """A deployment behind a SlowProxy. Its models read their delays from the files of the returned folder."""
    brakes = folder / "brakes"
    brakes.mkdir(parents=True)
    with SlowProxy() as proxy:
        world = ServedPair(folder, pair, REDIS_URL=proxy.url, PYTHONPATH=str(BRAKES), TANDEM_BRAKES=str(brakes))
        proxy.target = lambda: world.server.url
        with world:
            yield world, proxy, brakes


def all_slow(pair: GenerationPair, folder: Path) -> Iterator[Outcome]:
    """Retrieval, ranking and the store, one after the other."""
    with slowable(pair, folder) as (world, proxy, brakes):
        for name in ("retrieval", "ranking"):
            file = brakes / name
            yield _slow(world, name, partial(file.write_text, str(DELAY_SECONDS)), file.unlink)
        yield _slow(
            world, "store", partial(setattr, proxy, "delay", DELAY_SECONDS), partial(setattr, proxy, "delay", 0)
        )


def _slow(world: ServedPair, name: str, begin: Callable[[], object], end: Callable[[], object]) -> Outcome:
    with world.load() as load:
        time.sleep(2)
        begin()
        time.sleep(6)
        end()
        recovery = load.wait(lambda answer: answer.whole, 30)
        time.sleep(1)
    wrong = missing_stages(load.answers, name)
    slowest = max(answer.seconds for answer in load.answers)
    if slowest > DEADLINE_SECONDS + SLACK_SECONDS:
        wrong.append(f"the slowest answer took {1e3 * slowest:.0f} ms")
    world.settle()
    fault, note = f"{name} slowed by {1e3 * DELAY_SECONDS:.0f} ms", f"slowest answer {1e3 * slowest:.0f} ms"
    limits = Limits(recovery_s=RECOVERY_SECONDS)
    return judge(fault, load.answers, world.expected, limits, recovery=recovery, note=note, wrong=wrong)

"""A loopback port in front of a store, which delays the store's replies, or loses a reply with its connection."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from urllib.parse import urlsplit

from tests.servers.deployment import free_port


class StoreProxy:
    """A proxy of the store at the URL `target()`. delay: seconds by which each reply is late.

    loses: whether the reply to these bytes of commands is lost; set by a test. lost: the number of lost replies.
    """

    def __init__(self, target: Callable[[], str] = str) -> None:
        self.delay = 0.0
        self.target = target
        self.loses: Callable[[bytes], bool] = lambda commands: False
        self.lost = 0
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="store proxy", daemon=True)

    def __enter__(self) -> StoreProxy:
        self._thread.start()
        server = asyncio.start_server(self._serve, "127.0.0.1", self.port)
        asyncio.run_coroutine_threadsafe(server, self._loop).result(5)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def lose_reply(self, mark: bytes, number: int = 1) -> None:
        """Lose the reply to the next commands that contain a mark, or to those after; number: 1 for the next."""
        seen = 0

        def loses(commands: bytes) -> bool:
            nonlocal seen
            seen += mark in commands
            return mark in commands and seen == number

        self.loses = loses

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        target = urlsplit(self.target())
        with suppress(OSError):
            replies, commands = await asyncio.open_connection(target.hostname, target.port)
            losing = asyncio.Event()
            await asyncio.gather(self._forward(reader, commands, losing), self._answer(replies, writer, losing))

    async def _forward(self, source: asyncio.StreamReader, store: asyncio.StreamWriter, losing: asyncio.Event) -> None:
        with suppress(OSError):
            while data := await source.read(1 << 20):
                if self.loses(data):
                    losing.set()
                store.write(data)
                await store.drain()
        with suppress(OSError):
            store.close()

    async def _answer(self, store: asyncio.StreamReader, client: asyncio.StreamWriter, losing: asyncio.Event) -> None:
        with suppress(OSError):
            while data := await store.read(1 << 16):
                if losing.is_set():  # the store has executed the commands
                    self.lost += 1
                    break
                if self.delay:
                    await asyncio.sleep(self.delay)
                client.write(data)
                await client.drain()
        with suppress(OSError):
            client.close()

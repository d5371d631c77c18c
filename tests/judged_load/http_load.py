"""Sends HTTP requests for recommendations at a fixed rate in fault tests, and records the answers.

Each request starts when it is due, independent of earlier answers (an open loop). The base class serves gRPC too.
"""

from __future__ import annotations

import asyncio
import itertools
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Self

import aiohttp
import numpy as np

K = 10
"""Items of a slate."""

TIMEOUT_SECONDS = 6.0


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to one request.

    due: unix seconds. seconds: from `due` to the answer. status: 0 without an answer. error: of the client, or "".
    """

    due: float
    seconds: float
    status: int
    body: dict[str, Any] | None
    error: str = ""

    @property
    def failed(self) -> bool:
        """Whether the answer is no slate of K distinct items."""
        items = {item["item_id"] for item in self.body["items"]} if self.status == 200 and self.body else ()
        return len(items) != K

    @property
    def degraded(self) -> list[str]:
        """The stages that are missing from the slate."""
        return self.body["degraded"] if self.status == 200 and self.body else []

    @property
    def whole(self) -> bool:
        """Whether the answer is a slate with all stages."""
        return not self.failed and not self.degraded

    @property
    def generation(self) -> str | None:
        """The generation that the slate names."""
        return self.body["generation"] if self.status == 200 and self.body else None


Send = Callable[[int | str], Awaitable[tuple[int, dict[str, Any] | None, str]]]
"""Sends the request of a user; returns status, body and error of its Answer."""


class OpenLoop(ABC):
    """Sends `rate` requests a second, for `users` in turn, while it is entered."""

    def __init__(self, address: str, users: list[int | str], rate: float = 40.0) -> None:
        self.answers: list[Answer] = []
        self._address, self._users, self._rate = address, users, rate
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), name="load")

    @abstractmethod
    def _connections(self) -> AbstractAsyncContextManager[Send]:
        """Open connections to the address, and close them at the end."""

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._thread.join()

    def wait(self, wanted: Callable[[Answer], Any], seconds: float) -> float | None:
        """Seconds until an answer that is due from now on is wanted; None after so many seconds."""
        start, seen = time.time(), len(self.answers)
        while time.time() - start < seconds:
            for answer in self.answers[seen:]:
                if answer.due >= start and wanted(answer):
                    return answer.due + answer.seconds - start
            seen = max(seen, len(self.answers) - 1)
            time.sleep(0.01)
        return None

    async def _run(self) -> None:
        users, tasks = itertools.cycle(self._users), set()
        async with self._connections() as send:
            start = time.time()
            for number in itertools.count():
                due = start + number / self._rate
                await asyncio.sleep(max(0.0, due - time.time()))
                if self._stopped.is_set():
                    break
                task = asyncio.create_task(self._record(send, next(users), due))
                tasks.add(task)
                task.add_done_callback(tasks.discard)
            await asyncio.gather(*tasks)

    async def _record(self, send: Send, user: int | str, due: float) -> None:
        status, body, error = await send(user)
        self.answers.append(Answer(due, time.time() - due, status, body, error))


class HttpLoad(OpenLoop):
    """Sends POST /recommend with these headers, on as many connections as there are requests under way."""

    def __init__(
        self, address: str, users: list[int | str], rate: float = 40.0, headers: dict[str, str] | None = None
    ) -> None:
        super().__init__(address, users, rate)
        self._headers = headers

    @asynccontextmanager
    async def _connections(self) -> AsyncIterator[Send]:
        connector, timeout = aiohttp.TCPConnector(limit=0), aiohttp.ClientTimeout(total=TIMEOUT_SECONDS)
        async with aiohttp.ClientSession(connector=connector, timeout=timeout, headers=self._headers) as client:
            yield partial(self._send, client)

    async def _send(self, client: aiohttp.ClientSession, user: int | str) -> tuple[int, dict[str, Any] | None, str]:
        try:
            async with client.post(f"{self._address}/recommend", json={"user_id": user, "k": K}) as answer:
                return answer.status, await answer.json(), ""
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            return 0, None, f"{type(error).__name__}: {error}"


def p99(answers: list[Answer]) -> float:
    """The 99th percentile of the seconds."""
    return float(np.percentile([answer.seconds for answer in answers], 99)) if answers else 0.0

"""An open loop of requests in a thread of its own: each starts when it is due, however late the others are."""

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
from types import TracebackType
from typing import Any, Self

import aiohttp
import numpy as np

K = 10
TIMEOUT = 5.0


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back. due: unix seconds. seconds: from then on. status: 0 where nothing came."""

    due: float
    seconds: float
    status: int
    body: dict[str, Any] | None
    said: str = ""

    @property
    def failed(self) -> bool:
        """Whether it is no slate of K distinct items."""
        items = {item["item_id"] for item in self.body["items"]} if self.status == 200 and self.body else ()
        return len(items) != K

    @property
    def degraded(self) -> list[str]:
        """What it had to do without."""
        return self.body["degraded"] if self.status == 200 and self.body else []


Ask = Callable[[int | str], Awaitable[tuple[int, dict[str, Any] | None, str]]]
"""Asks for a user's slate; what it gives is the end of an Answer."""


class OpenLoop(ABC):
    """Asks for slates of `users` in turn, so many a second, while it is entered."""

    def __init__(self, place: str, users: list[int | str], rate: float = 40.0) -> None:
        self.answers: list[Answer] = []
        self._place, self._users, self._rate = place, users, rate
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), name="load")

    @abstractmethod
    def _asking(self) -> AbstractAsyncContextManager[Ask]:
        """Connections to the place, while they are needed."""

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopped.set()
        self._thread.join()

    def wait(self, wanted: Any, seconds: float) -> float | None:
        """Seconds until an answer due from now on is as `wanted`; None if none is in so long."""
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
        async with self._asking() as ask:
            start = time.time()
            for number in itertools.count():
                due = start + number / self._rate
                await asyncio.sleep(max(0.0, due - time.time()))
                if self._stopped.is_set():
                    break
                task = asyncio.create_task(self._note(ask, next(users), due))
                tasks.add(task)
                task.add_done_callback(tasks.discard)
            await asyncio.gather(*tasks)

    async def _note(self, ask: Ask, user: int | str, due: float) -> None:
        status, body, said = await ask(user)
        self.answers.append(Answer(due, time.time() - due, status, body, said))


class Load(OpenLoop):
    """Over HTTP; each request may have a connection of its own, and has these headers."""

    def __init__(
        self, place: str, users: list[int | str], rate: float = 40.0, headers: dict[str, str] | None = None
    ) -> None:
        super().__init__(place, users, rate)
        self._headers = headers

    @asynccontextmanager
    async def _asking(self) -> AsyncIterator[Ask]:
        async with aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0),
            timeout=aiohttp.ClientTimeout(total=TIMEOUT),
            headers=self._headers,
        ) as client:
            yield partial(self._ask, client)

    async def _ask(self, client: aiohttp.ClientSession, user: int | str) -> tuple[int, dict[str, Any] | None, str]:
        try:
            async with client.post(f"{self._place}/recommend", json={"user_id": user, "k": K}) as answer:
                return answer.status, await answer.json(), ""
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            return 0, None, f"{type(error).__name__}: {error}"


def p99(answers: list[Answer]) -> float:
    """The 99th percentile of the seconds."""
    return float(np.percentile([answer.seconds for answer in answers], 99)) if answers else 0.0

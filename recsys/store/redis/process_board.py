"""The board: which process holds which generations, written by each for all, and the bell that rings for an alias.

| key | type | holds |
|---|---|---|
| processes | set | names of processes that announced themselves |
| process:{name} | string | a `Holding` as JSON; gone ANNOUNCED_SECONDS after its process last spoke |

Ages are the server's: no clock of a host is asked. Who may only read can't announce itself, and is told so once.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from recsys.store.process_life import Life
from recsys.store.redis.connection import address, sentences, watched
from recsys.store.redis.stores import ALIASES_CHANNEL

ANNOUNCED_SECONDS = 20
"""How long an announcement lasts: a process repeats it when a quarter has passed, at its next look."""

_PROCESSES = "processes"
_CONNECT_SECONDS, _COMMAND_SECONDS = 1.0, 2.0


@dataclass(frozen=True, slots=True)
class Holding:
    """What one process says of itself.

    name: unique, as "ranking host 123". role: gateway, retrieval or ranking. held: ids, loaded and tried. serving:
    ids that a gateway answers from, one for each alias. refused: why, by id. life: shows whether the process ended.
    """

    name: str
    role: str
    held: tuple[str, ...] = ()
    serving: tuple[str, ...] = ()
    refused: Mapping[str, str] = field(default_factory=dict)
    life: Life | None = None

    @property
    def ended(self) -> bool:
        """Whether its process ran on this machine and runs no more."""
        return self.life is not None and self.life.ended

    def to_json(self) -> str:
        """As it stands in the store."""
        return json.dumps(asdict(self), ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str | bytes) -> Holding | None:
        """Inverse of `to_json`; None for what is none, as an older version may have written it."""
        try:
            raw = json.loads(text)
            held, serving = tuple(raw["held"]), tuple(raw["serving"])
            life = Life(**raw["life"]) if raw.get("life") else None
            return cls(raw["name"], raw["role"], held, serving, dict(raw["refused"]), life)
        except (ValueError, TypeError, KeyError):
            return None


class Board(Protocol):
    """Where processes say what they hold. StoreUnavailable or StoreError where it can't be reached or written."""

    def announce(self, holding: Holding) -> None:
        """Say what a process holds; repeat it before ANNOUNCED_SECONDS are over."""

    def withdraw(self, name: str) -> None:
        """Take a process off."""

    def processes(self) -> list[Holding]:
        """What every process alive says, by name; who ended on this machine is left out at once."""

    def remove_ended(self) -> list[Holding]:
        """Remove the processes of this machine that ended without `withdraw`; return those that this call removed."""

    def wait(self, seconds: float) -> None:
        """Return after so long, or as soon as an alias moves."""

    def close(self) -> None:
        """Let go of connections."""


class RedisBoard:
    """The board in Redis. One thread waits, others may announce."""

    def __init__(self, url: str) -> None:
        self._address = address(url)
        self._redis: Any = redis.Redis.from_url(
            url,
            socket_connect_timeout=_CONNECT_SECONDS,
            socket_timeout=_COMMAND_SECONDS,
            decode_responses=True,
            **watched(url),
            retry=Retry(NoBackoff(), 1, (redis.ConnectionError,)),  # a cut subscription is made anew, and rings
        )
        self._bell: Any = None
        self._closed = threading.Event()

    def announce(self, holding: Holding) -> None:
        with sentences(self._address), self._redis.pipeline(transaction=False) as pipe:
            pipe.set(_process(holding.name), holding.to_json(), ex=ANNOUNCED_SECONDS)
            pipe.sadd(_PROCESSES, holding.name)
            pipe.execute()

    def withdraw(self, name: str) -> None:
        with sentences(self._address), self._redis.pipeline(transaction=False) as pipe:
            pipe.srem(_PROCESSES, name)
            pipe.unlink(_process(name))
            pipe.execute()

    def processes(self) -> list[Holding]:
        return [holding for holding in self._announced() if not holding.ended]

    def remove_ended(self) -> list[Holding]:
        ended = [holding for holding in self._announced() if holding.ended]
        with sentences(self._address):  # several processes may call this at once, and one removes the name
            removed = [holding for holding in ended if self._redis.srem(_PROCESSES, holding.name)]
        for holding in removed:
            self.withdraw(holding.name)
        return removed

    def _announced(self) -> list[Holding]:
        """The announcements that have not expired."""
        with sentences(self._address):
            names = sorted(self._redis.smembers(_PROCESSES))
            told = self._redis.mget([_process(name) for name in names]) if names else []
        gone = [name for name, text in zip(names, told, strict=True) if text is None]
        if gone:
            self._forget(gone)
        return [holding for text in told if text is not None and (holding := Holding.from_json(text))]

    def _forget(self, names: list[str]) -> None:
        """Drop names that nothing stands behind any more, where that is allowed."""
        with suppress(redis.RedisError):  # who may only read leaves it to who may write
            self._redis.srem(_PROCESSES, *names)

    def wait(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        try:
            if self._bell is None:
                self._bell = self._redis.pubsub()
                self._bell.subscribe(ALIASES_CHANNEL)
            # That it subscribed rings, too, also where redis-py did so anew by itself: before, it was deaf.
            while (left := end - time.monotonic()) > 0 and not self._closed.is_set():
                if self._bell.get_message(timeout=left) is not None:
                    return
        except Exception as error:
            self._hang_up()
            if not (self._closed.is_set() or isinstance(error, redis.RedisError | OSError)):
                raise  # closing under a wait breaks it in many ways
            self._closed.wait(max(0.0, end - time.monotonic()))

    def _hang_up(self) -> None:
        bell, self._bell = self._bell, None
        if bell is not None:
            with suppress(redis.RedisError, OSError):  # it was broken: that is why
                bell.close()

    def close(self) -> None:
        self._closed.set()
        self._redis.close()


class MemoryBoard:
    """The board in a dict, for unit tests; it passes the same contract suite."""

    def __init__(self) -> None:
        self._announced: dict[str, Holding] = {}
        self._woken = threading.Event()

    def announce(self, holding: Holding) -> None:
        self._announced[holding.name] = holding

    def withdraw(self, name: str) -> None:
        self._announced.pop(name, None)

    def processes(self) -> list[Holding]:
        return [self._announced[name] for name in sorted(self._announced) if not self._announced[name].ended]

    def remove_ended(self) -> list[Holding]:
        ended = [holding for holding in self._announced.values() if holding.ended]
        for holding in ended:
            self.withdraw(holding.name)
        return ended

    def wait(self, seconds: float) -> None:
        self._woken.wait(seconds)
        self._woken.clear()

    def ring(self) -> None:
        """An alias moved."""
        self._woken.set()

    def close(self) -> None:
        """Nothing to let go of."""


def _process(name: str) -> str:
    return f"process:{name}"

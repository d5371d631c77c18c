"""Announce in Redis which trained models each server process has loaded, and wait for a change of the live ones.

| key | type | holds |
|---|---|---|
| processes | set | names of the processes that announced themselves |
| process:{name} | string | an `Announcement` as JSON; expires ANNOUNCED_SECONDS after the last announcement |

Training publishes models as a generation, and the alias `live` names the one that servers answer from: a moved alias
ends a wait. Redis expires announcements by its own clock. A Redis user with read rights only can't announce.
"""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from typing import Any

import redis

from recsys.store.process_registry import ANNOUNCED_SECONDS, Announcement
from recsys.store.redis.connection import retry_once, sync_client, translated_errors
from recsys.store.redis.generation_store import ALIASES_CHANNEL
from recsys.store.redis.store_address import address

_PROCESSES = "processes"
_CONNECT_SECONDS, _REPLY_SECONDS = 1.0, 2.0


class RedisProcessRegistry:
    """The announcements of all processes. One thread may wait while others announce.

    StoreUnavailable or StoreError if they can't be read or written.
    """

    def __init__(self, url: str) -> None:
        self._address = address(url)
        self._redis: Any = sync_client(url, _CONNECT_SECONDS, _REPLY_SECONDS, decode_responses=True, retry=retry_once())
        self._subscription: Any = None
        self._closed = threading.Event()

    def announce(self, announcement: Announcement) -> None:
        """Publish the state of a process. Repeat it within ANNOUNCED_SECONDS."""
        with translated_errors(self._address), self._redis.pipeline(transaction=False) as pipe:
            pipe.set(_process_key(announcement.name), announcement.to_json(), ex=ANNOUNCED_SECONDS)
            pipe.sadd(_PROCESSES, announcement.name)
            pipe.execute()

    def withdraw(self, name: str) -> None:
        """Delete the announcement of a process."""
        with translated_errors(self._address), self._redis.pipeline(transaction=False) as pipe:
            pipe.srem(_PROCESSES, name)
            pipe.unlink(_process_key(name))
            pipe.execute()

    def processes(self) -> list[Announcement]:
        """Return the announcements by name, without processes that have ended on this machine."""
        return [announcement for announcement in self._announced() if not announcement.ended]

    def remove_ended(self) -> list[Announcement]:
        """Delete processes of this machine that ended without `withdraw`; return those that this call deleted."""
        ended = [announcement for announcement in self._announced() if announcement.ended]
        with translated_errors(self._address):  # of several concurrent calls one removes the name
            removed = [announcement for announcement in ended if self._redis.srem(_PROCESSES, announcement.name)]
        for announcement in removed:
            self.withdraw(announcement.name)
        return removed

    def _announced(self) -> list[Announcement]:
        """The announcements that have not expired. Names of expired ones are deleted."""
        with translated_errors(self._address):
            names = sorted(self._redis.smembers(_PROCESSES))
            texts = self._redis.mget([_process_key(name) for name in names]) if names else []
        if expired := [name for name, text in zip(names, texts, strict=True) if text is None]:
            with suppress(redis.RedisError):  # a user with read rights only leaves the names to others
                self._redis.srem(_PROCESSES, *expired)
        return [found for text in texts if text is not None and (found := Announcement.from_json(text))]

    def wait(self, seconds: float) -> None:
        """Return after so many seconds, or as soon as an alias moves."""
        end = time.monotonic() + seconds
        try:
            if self._subscription is None:
                self._subscription = self._redis.pubsub()
                self._subscription.subscribe(ALIASES_CHANNEL)
            # The confirmation of a subscription ends the wait too: announcements before it were missed. redis-py
            # subscribes again by itself after a dropped connection.
            while (left := end - time.monotonic()) > 0 and not self._closed.is_set():
                if self._subscription.get_message(timeout=left) is not None:
                    return
        except Exception as error:
            self._unsubscribe()
            if not (self._closed.is_set() or isinstance(error, redis.RedisError | OSError)):
                raise  # a close during a wait raises errors of many kinds
            self._closed.wait(max(0.0, end - time.monotonic()))

    def _unsubscribe(self) -> None:
        subscription, self._subscription = self._subscription, None
        if subscription is not None:
            with suppress(redis.RedisError, OSError):
                subscription.close()

    def close(self) -> None:
        """Close all connections."""
        self._closed.set()
        self._redis.close()


def _process_key(name: str) -> str:
    return f"process:{name}"

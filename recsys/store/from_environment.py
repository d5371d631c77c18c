"""Open the store of a program: the Redis that the environment variable REDIS_URL names, or an embedded Valkey."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, closing

from recsys.environment import Environment
from recsys.errors import StoreError, StoreUnavailable, TandemError
from recsys.model.event_counts import EventCounts
from recsys.store.embedded_valkey import EmbeddedValkey
from recsys.store.redis.event_collection import RedisEventCollection
from recsys.store.redis.event_counters import RedisCountReader
from recsys.store.redis.flow_store import RedisFlowStore
from recsys.store.redis.generation_store import RedisGenerationStore
from recsys.store.redis.item_store import RedisItemReader
from recsys.store.redis.redis_experiments import RedisExperimentStore
from recsys.store.redis.redis_registry import RedisProcessRegistry
from recsys.store.redis.run_store import RedisRunStore
from recsys.store.redis.store_address import address

CHECK_SECONDS = 0.5
"""Between two checks of the embedded server."""


class OpenStore:
    """A store that answered when it was opened. url: its address for this process and its children."""

    def __init__(self, url: str, embedded: EmbeddedValkey | None = None) -> None:
        self.url = url
        self._embedded = embedded
        self._clients = ExitStack()
        self._closed = threading.Event()
        self._checker: threading.Thread | None = None
        self._counts: RedisCountReader | None = None

    def generations(self) -> RedisGenerationStore:
        """The generations of the store."""
        return self._clients.enter_context(closing(RedisGenerationStore(self.url)))

    def flows(self) -> RedisFlowStore:
        """What the flows `batch`, `refresh` and `drain` read and write."""
        return self._clients.enter_context(closing(RedisFlowStore(self.url)))

    def event_collection(self) -> RedisEventCollection:
        """The log of events, as `drain` copies it into files."""
        return self._clients.enter_context(closing(RedisEventCollection(self.url)))

    def experiments(self) -> RedisExperimentStore:
        """The experiments of the deployment."""
        return self._clients.enter_context(closing(RedisExperimentStore(self.url)))

    def items(self) -> RedisItemReader:
        """The items that were added or changed through PUT /items."""
        return self._clients.enter_context(closing(RedisItemReader(self.url)))

    def event_counts(self) -> EventCounts:
        """The counts of the events of all users in the last minutes and hours; a second call reads what changed."""
        if self._counts is None:
            self._counts = self._clients.enter_context(closing(RedisCountReader(self.url)))
        return self._counts.read()

    def registry(self) -> RedisProcessRegistry:
        """The announcements of server processes: which generations each has loaded and serves."""
        return self._clients.enter_context(closing(RedisProcessRegistry(self.url)))

    def runs(self) -> RedisRunStore:
        """The records of the runs of flows."""
        return self._clients.enter_context(closing(RedisRunStore(self.url)))

    def keep_running(self, log: Callable[[str], None]) -> None:
        """Restart the embedded server whenever it is gone, until this is closed.

        log: called with a sentence after a restart, at the first failed restart, and when the server answers again.
        """
        if self._embedded is not None:
            self._checker = threading.Thread(target=self._check, args=(self._embedded, log), name="keep", daemon=True)
            self._checker.start()

    def _check(self, embedded: EmbeddedValkey, log: Callable[[str], None]) -> None:
        failed_at: float | None = None
        while not self._closed.wait(CHECK_SECONDS):
            try:
                if embedded.restart_if_gone():
                    log("The store was gone, and is started again.")
                elif failed_at is not None:
                    log(f"The store answers again after {time.monotonic() - failed_at:.0f} s.")
                failed_at = None
            except TandemError as error:
                if failed_at is None:
                    log(f"{error} Until the store can be started, histories and events are missing.")
                    failed_at = time.monotonic()

    def close(self) -> None:
        """Close all clients, and end the embedded server if it was started here."""
        self._clients.close()
        self._closed.set()
        if self._checker is not None:
            self._checker.join()
        if self._embedded is not None:
            self._embedded.stop()

    def __enter__(self) -> OpenStore:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def open_store(environment: Environment) -> OpenStore:
    """The Redis of REDIS_URL, or the embedded store. StoreUnavailable, StoreError or SettingsError names the remedy."""
    if environment.redis_url is None:
        embedded = EmbeddedValkey(environment.folder("store"))
        return OpenStore(embedded.ensure(), embedded)
    store = RedisGenerationStore(environment.redis_url)
    try:
        store.ping()
    except StoreUnavailable as error:
        raise StoreUnavailable(f"{error} Start one, or unset REDIS_URL to use the embedded store.") from error
    except StoreError as error:
        raise StoreError(f"The server at {address(environment.redis_url)} can't be used as a store. {error}") from error
    finally:
        store.close()
    return OpenStore(environment.redis_url)

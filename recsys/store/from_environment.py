"""From the environment to a store that answers. The one place that chooses between a Redis and the embedded store."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from types import TracebackType

from recsys.environment import Environment
from recsys.errors import StoreError, StoreUnavailable, TandemError
from recsys.store.embedded_valkey import EmbeddedStore
from recsys.store.redis.item_store import RedisItemReader
from recsys.store.redis.process_board import RedisBoard
from recsys.store.redis.stores import RedisFlowStore, RedisGenerationStore, address

KEEP_SECONDS = 0.5
"""Between two looks at the embedded store."""


class OpenStore:
    """A store that answered when it was opened, at `url` for this process and its children."""

    def __init__(self, url: str, embedded: EmbeddedStore | None = None) -> None:
        self.url = url
        self._embedded = embedded
        self._lent: list[RedisGenerationStore | RedisFlowStore | RedisItemReader | RedisBoard] = []
        self._closed = threading.Event()
        self._keeper: threading.Thread | None = None

    def generations(self) -> RedisGenerationStore:
        """The generations in it, until this is closed."""
        self._lent.append(store := RedisGenerationStore(self.url))
        return store

    def flows(self) -> RedisFlowStore:
        """What flows that follow users read and write, until this is closed."""
        self._lent.append(store := RedisFlowStore(self.url))
        return store

    def items(self) -> RedisItemReader:
        """What was put, until this is closed."""
        self._lent.append(reader := RedisItemReader(self.url))
        return reader

    def board(self) -> RedisBoard:
        """Where processes that serve say what they hold, until this is closed."""
        self._lent.append(board := RedisBoard(self.url))
        return board

    def keep(self, say: Callable[[str], None]) -> None:
        """From now on start the embedded store again when it is gone, until this is closed or the process ends.

        say: called with a sentence when the store was started again, can't be started, and answers again.
        """
        if self._embedded is not None:
            self._keeper = threading.Thread(target=self._keep, args=(self._embedded, say), name="keep", daemon=True)
            self._keeper.start()

    def _keep(self, embedded: EmbeddedStore, say: Callable[[str], None]) -> None:
        since: float | None = None
        while not self._closed.wait(KEEP_SECONDS):
            try:
                if embedded.keep():
                    say("The store was gone, and is started again.")
                elif since is not None:
                    say(f"The store answers again after {time.monotonic() - since:.0f} s.")
                since = None
            except TandemError as error:
                if since is None:
                    say(f"{error} Until the store can be started, histories and events are missing.")
                    since = time.monotonic()

    def close(self) -> None:
        """Close what was handed out; end the embedded store if it was started here."""
        for store in self._lent:
            store.close()
        self._closed.set()
        if self._keeper is not None:
            self._keeper.join()
        if self._embedded is not None:
            self._embedded.stop()

    def __enter__(self) -> OpenStore:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def open_store(environment: Environment) -> OpenStore:
    """The Redis of REDIS_URL, or the embedded store; StoreUnavailable or SettingsError says what to do about it."""
    if environment.redis_url is None:
        embedded = EmbeddedStore(environment.folder("store"))
        return OpenStore(embedded.ensure(), embedded)
    store = RedisGenerationStore(environment.redis_url)
    try:
        store.ping()
    except StoreUnavailable as error:
        raise StoreUnavailable(f"{error} Start one, or unset REDIS_URL to use the embedded store.") from error
    except StoreError as error:
        raise StoreError(
            f"What answers at {address(environment.redis_url)} is of no use as a store. {error}"
        ) from error
    finally:
        store.close()
    return OpenStore(environment.redis_url)

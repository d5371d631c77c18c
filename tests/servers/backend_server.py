"""Test server for the client that calls retrieval and ranking: a small BentoML service, run by uvicorn in a thread.

Its endpoints take and return matrices of bytes, as those of the real services do: one doubles a batch, one fails, one
is slow.
"""

import asyncio
import threading
import time

import bentoml
import numpy as np
import uvicorn

from service.backends.rows import Rows
from service.workers import OPTIONS


def make_service(sizes):
    """A service with one batchable API and others that fail or wait; sizes: of each batch."""

    @bentoml.service(**OPTIONS)
    class Doubles:
        @bentoml.api(batchable=True, max_batch_size=99_999, input_spec=Rows, output_spec=Rows)
        async def double(self, rows: np.ndarray) -> np.ndarray:
            sizes.append(len(rows))
            return 2 * rows

        @bentoml.api(input_spec=Rows, output_spec=Rows)
        async def breaks(self, rows: np.ndarray) -> np.ndarray:
            raise ZeroDivisionError

        @bentoml.api(input_spec=Rows, output_spec=Rows)
        async def slow(self, rows: np.ndarray) -> np.ndarray:
            await asyncio.sleep(0.3)
            return rows[:, ::-1]

    return Doubles


class BackendServer:
    """uvicorn on a unix socket, a port, or a socket that several servers share, as workers do."""

    def __init__(self, place, keep_alive=5, listening=None, add=None):
        """add: changes the service before its app is made."""
        self.sizes = []
        service = make_service(self.sizes)
        if add:
            add(service)
        app = service.to_asgi(is_main=False)
        config = uvicorn.Config(app, log_level="critical", timeout_keep_alive=keep_alive, **place)
        self._server = uvicorn.Server(config)
        sockets = listening and [listening.dup()]
        self._thread = threading.Thread(target=self._server.run, args=(sockets,))

    def __enter__(self):
        self._thread.start()
        while not self._server.started:
            time.sleep(0.005)
        return self

    def __exit__(self, *_):
        self._server.should_exit = True
        self._thread.join()

    @property
    def connections(self):
        return len(self._server.server_state.connections)


def rows(count, width=7):
    return np.arange(count * width, dtype=np.uint8).reshape(count, width)

"""A service behind a hop, in a thread of its own."""

import threading
import time
from functools import partial
from types import SimpleNamespace

import numpy as np
import uvicorn
from bentoml._internal.marshal.dispatcher import CorkDispatcher
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from service.lane import Lane


class Service:
    """As much of a BentoML service as a lane asks for: one API that is merged, two that are not."""

    def __init__(self):
        self.service = self._service_instance = self
        self.double, self.breaks, self.slow = (SimpleNamespace(local=each) for each in (self.doubled, breaks, slow))
        self.apis = {"double": 1, "breaks": 1, "slow": 1}
        merged = CorkDispatcher(max_latency_in_ms=60_000, max_batch_size=9999, fallback=list, get_batch_size=len)
        self.dispatchers = {"double": merged}
        self.sizes = []

    async def endpoint(self, name, request):
        return PlainTextResponse("with everything around it")

    def doubled(self, rows):
        self.sizes.append(len(rows))
        return 2 * rows


def breaks(_):
    raise ZeroDivisionError


def slow(rows):
    time.sleep(0.3)
    return rows[:, ::-1]


class Server:
    """uvicorn over a unix socket, or a port; listening: a socket that several share, as workers do."""

    def __init__(self, place, keep_alive=5, listening=None, app=None, make=Lane):
        self.service = Service()
        routes = [Route(f"/{name}", partial(self.service.endpoint, name), name=name) for name in self.service.apis]
        probes = [Route(path, lambda _: PlainTextResponse("a probe")) for path in ("/livez", "/readyz")]
        app = app or Starlette(routes=[*routes, *probes], middleware=[Middleware(make)])
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

"""The gRPC server of a gateway process, in its event loop; all gateway processes of a host share the port."""

from __future__ import annotations

import asyncio

import grpc
from opentelemetry.trace import TracerProvider

from recsys.errors import SettingsError
from service.auth.grpc_key_check import GrpcKeyCheck
from service.auth.tls import Tls
from service.grpc import limits
from service.grpc.handlers import VerbHandlers
from service.grpc.health import CHECK_SECONDS, CallLimit, Health, reflection_handlers
from service.grpc.rpc_spans import Tracing
from service.settings import place
from service.verbs.recommender import Recommender


class GrpcServer:
    """Serves a recommender that may not be ready yet; its health is NOT_SERVING until then."""

    def __init__(
        self,
        recommender: Recommender,
        host: str,
        port: int,
        key_check: GrpcKeyCheck | None,
        tls: Tls | None = None,
        traces: TracerProvider | None = None,
    ) -> None:
        """key_check: None if no key is needed."""
        self._place = place(host, port)
        self._tls = tls
        self._open_ended = CallLimit(limits.OPEN_ENDED_CALLS, "Watch and reflection")
        self._health = Health(lambda: recommender.ready, self._open_ended)
        self._verbs = VerbHandlers(recommender)
        tracing = [] if traces is None else [Tracing(traces)]
        self._interceptors = [*tracing, *([] if key_check is None else [key_check])]
        self._server: grpc.aio.Server | None = None

    async def start(self) -> None:
        """Listen; SettingsError if the port can't be bound."""
        self._server = server = self._built()
        try:
            if self._tls is None:
                server.add_insecure_port(self._place)
            else:
                server.add_secure_port(self._place, grpc.ssl_server_credentials([self._tls.pem()]))
        except RuntimeError as error:
            raise SettingsError(f"{self._place} can't be bound. Choose another port: GRPC_PORT=...") from error
        await server.start()

    async def drain(self, seconds: float) -> None:
        """Turn NOT_SERVING; after so many seconds take no more calls, and answer those in flight.

        The time is at least what Watch calls need to report the status.
        """
        self._health.drain()
        await asyncio.sleep(max(seconds, 2 * CHECK_SECONDS))
        await self.stop(limits.GRACE_SECONDS)

    async def stop(self, grace: float) -> None:
        """Take no more calls, and answer those in flight, for `grace` seconds at most."""
        self._health.drain()
        self._open_ended.stop()
        if self._server is not None:
            await self._server.stop(grace)

    def _built(self) -> grpc.aio.Server:
        """The server with all handlers behind all interceptors.

        It has no `maximum_concurrent_rpcs`, which would count calls that need no key like all others: enough of them
        would shut out the verbs. Each kind of call has a limit of its own instead.
        """
        server = grpc.aio.server(interceptors=self._interceptors, options=limits.OPTIONS)
        server.add_generic_rpc_handlers(
            (self._verbs.handlers, self._health.handlers, reflection_handlers(self._open_ended))
        )
        return server

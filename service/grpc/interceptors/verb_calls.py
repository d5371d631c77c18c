"""What the interceptors of the verbs have in common: they wrap a verb's handler, and learn how its call ended."""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import grpc
from grpc.aio import ServicerContext

from service.grpc.convert import SERVICE

if TYPE_CHECKING:
    from service.grpc.handlers import Handler

_VERBS = {f"/{SERVICE.full_name}/{method.name}" for method in SERVICE.methods}

EARLY, EARLY_SECONDS = 0.1, 0.05
"""A client's clock starts before ours: a call that is cancelled in the last tenth of its deadline, 50 ms at most,
counts as DEADLINE_EXCEEDED."""


class VerbInterceptor(grpc.aio.ServerInterceptor):  # type: ignore[misc]  # grpc has no hints
    """Wraps the handlers of the verbs. Health, reflection and refusals of unknown methods pass unchanged."""

    async def intercept_service(
        self, continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]], details: Any
    ) -> Any:
        """The handler of a call, wrapped if it is a verb's."""
        handler = await continuation(details)
        if handler is None or details.method not in _VERBS:
            return handler
        return grpc.stream_unary_rpc_method_handler(self.wrapped(handler.stream_unary, details))

    @abstractmethod
    def wrapped(self, handler: Handler, details: Any) -> Handler:
        """The handler with what this interceptor adds. details: the method's path and the metadata."""


@contextmanager
def reported(context: ServicerContext, report: Callable[[grpc.StatusCode], object]) -> Iterator[None]:
    """Report the status that a call ends with."""
    given = context.time_remaining()
    try:
        yield
    except asyncio.CancelledError:
        report(cancelled(given, context.time_remaining()))
        raise
    except BaseException:
        report(context.code() or grpc.StatusCode.UNKNOWN)
        raise
    report(grpc.StatusCode.OK)


def cancelled(given: float | None, left: float | None) -> grpc.StatusCode:
    """Why a call was cancelled. given: seconds that its client waits; left: seconds of these that are left."""
    if given is None or left is None:
        return grpc.StatusCode.CANCELLED
    early = left < min(EARLY_SECONDS, EARLY * given)
    return grpc.StatusCode.DEADLINE_EXCEEDED if early else grpc.StatusCode.CANCELLED

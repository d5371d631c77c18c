"""Traces of gRPC (RPC) calls: an interceptor records each call as an OpenTelemetry span, below the span of its caller.

The caller's span is in the metadata of the call.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import grpc
from grpc.aio import ServicerContext
from opentelemetry import propagate
from opentelemetry.trace import Span, SpanKind, TracerProvider

from service.grpc.call_status import reported
from service.grpc.convert import SERVICE
from service.telemetry.tracing import FIELDS, mark_failed

SERVER_FAULTS = {"UNKNOWN", "DEADLINE_EXCEEDED", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS"}
"""Statuses that are errors of the server, by the semantic conventions. The others are errors of the client."""


_VERBS = {f"/{SERVICE.full_name}/{method.name}" for method in SERVICE.methods}


class Tracing(grpc.aio.ServerInterceptor):  # type: ignore[misc]  # grpc has no hints
    """The interceptor. It runs before the key check, so that a refused call has a span too. Health calls have none."""

    def __init__(self, provider: TracerProvider) -> None:
        self._tracer = provider.get_tracer("tandem")

    async def intercept_service(
        self, continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]], details: Any
    ) -> Any:
        """The handler of a call, within a span if it is a verb's."""
        handler = await continuation(details)
        if handler is None or details.method not in _VERBS:
            return handler
        name = details.method.removeprefix("/")
        parent = propagate.extract({field: value for field, value in details.invocation_metadata if field in FIELDS})
        attributes = {"rpc.system.name": "grpc", "rpc.method": name}

        async def traced(messages: Any, context: ServicerContext) -> Any:
            with (
                self._tracer.start_as_current_span(
                    name, parent, SpanKind.SERVER, attributes, record_exception=False, set_status_on_exception=False
                ) as span,
                reported(context, lambda status: _end(span, status)),
            ):
                return await handler.stream_unary(messages, context)

        return grpc.stream_unary_rpc_method_handler(traced)


def _end(span: Span, status: grpc.StatusCode) -> None:
    span.set_attribute("rpc.response.status_code", status.name)
    if status.name in SERVER_FAULTS:
        mark_failed(span, status.name)

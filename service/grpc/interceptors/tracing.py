"""A span for each call of a verb, below the span that its metadata names."""

from __future__ import annotations

from typing import Any

import grpc
from grpc.aio import ServicerContext
from opentelemetry.trace import Span

from service.grpc.handlers import Handler
from service.grpc.interceptors.verb_calls import VerbInterceptor, reported
from service.telemetry.tracing import Tracer, mark_broken

SERVER_FAULTS = {
    grpc.StatusCode.UNKNOWN,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.UNIMPLEMENTED,
    grpc.StatusCode.INTERNAL,
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.DATA_LOSS,
}
"""Statuses that are errors of the server, by the semantic conventions. The others are errors of the client."""


class Tracing(VerbInterceptor):
    """Stands before all other interceptors, so that a refused call has a span too, as over HTTP."""

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer

    def wrapped(self, handler: Handler, details: Any) -> Handler:
        """The handler within a span."""
        method = details.method.removeprefix("/")
        carrier = {name: value for name, value in details.invocation_metadata if isinstance(value, str)}
        attributes = {"rpc.system.name": "grpc", "rpc.method": method}

        async def traced(messages: Any, context: ServicerContext) -> bytes:
            with (
                self._tracer.request(method, carrier, attributes) as span,
                reported(context, lambda status: _set_status(span, status)),
            ):
                return await handler(messages, context)

        return traced


def _set_status(span: Span, status: grpc.StatusCode) -> None:
    span.set_attribute("rpc.response.status_code", status.name)
    if status in SERVER_FAULTS:
        mark_broken(span, status.name)

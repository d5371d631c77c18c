"""A span for each call of a verb, below the span that its metadata names."""

from __future__ import annotations

from typing import Any

import grpc
from grpc.aio import ServicerContext
from opentelemetry import propagate
from opentelemetry.trace import Span, SpanKind, TracerProvider

from service.grpc.handlers import Handler
from service.grpc.interceptors.verb_calls import VerbInterceptor, reported
from service.telemetry.tracing import FIELDS, mark_failed

SERVER_FAULTS = {"UNKNOWN", "DEADLINE_EXCEEDED", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS"}
"""Statuses that are errors of the server, by the semantic conventions. The others are errors of the client."""


class Tracing(VerbInterceptor):
    """Stands before all other interceptors, so that a refused call has a span too, as over HTTP."""

    def __init__(self, provider: TracerProvider) -> None:
        self._tracer = provider.get_tracer("tandem")

    def wrapped(self, handler: Handler, details: Any) -> Handler:
        """The handler within a span."""
        name = details.method.removeprefix("/")
        parent = propagate.extract({field: value for field, value in details.invocation_metadata if field in FIELDS})
        attributes = {"rpc.system.name": "grpc", "rpc.method": name}

        async def traced(messages: Any, context: ServicerContext) -> bytes:
            with (
                self._tracer.start_as_current_span(
                    name, parent, SpanKind.SERVER, attributes, record_exception=False, set_status_on_exception=False
                ) as span,
                reported(context, lambda status: _end(span, status)),
            ):
                return await handler(messages, context)

        return traced


def _end(span: Span, status: grpc.StatusCode) -> None:
    span.set_attribute("rpc.response.status_code", status.name)
    if status.name in SERVER_FAULTS:
        mark_failed(span, status.name)

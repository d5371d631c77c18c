"""Counts and times the calls of verbs, by verb and status, in `tandem_request_seconds`."""

from __future__ import annotations

import time
from typing import Any

import grpc
from grpc.aio import ServicerContext

from service.auth.guard import SCOPES
from service.grpc.handlers import Handler
from service.grpc.interceptors.verb_calls import VerbInterceptor, reported
from service.telemetry import metrics

_NAMES = {verb.rpc: verb.name for verb in SCOPES}


class Metrics(VerbInterceptor):
    """Stands behind the guard, like the HTTP door's: calls without a key are counted by the guard alone."""

    def wrapped(self, handler: Handler, details: Any) -> Handler:
        """The handler, timed."""
        verb = _NAMES[details.method.rpartition("/")[2]]

        async def timed(messages: Any, context: ServicerContext) -> bytes:
            start = time.monotonic()

            def report(status: grpc.StatusCode) -> None:
                metrics.timed(verb, status.name)(time.monotonic() - start)

            with reported(context, report):
                return await handler(messages, context)

        return timed

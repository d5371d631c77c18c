"""Tracing with OpenTelemetry: requests, stages, and calls of retrieval and ranking become spans (timed operations).

Nothing of this module is used while traces are off. No span has a user's id, an item's id, a raw path, an address of a
client, or an error's message, which may hold an id.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from opentelemetry import propagate, trace
from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware, get_default_span_details
from opentelemetry.trace import Link, Span, SpanKind, Status, StatusCode, Tracer, TracerProvider
from opentelemetry.util.http import sanitize_method
from starlette.routing import BaseRoute, Match, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from recsys.slates.query import Query
from service.recommend.deadlines import Deadline
from service.recommend.stages import Stage
from service.verbs.recommender import Recommender

FIELDS = propagate.get_global_textmap().fields - {"baggage"}  # of the caller's span; nothing reads baggage


def mark_failed(span: Span, why: str) -> None:
    """Set a span's status to error. why: one word."""
    span.set_attribute("error.type", why)
    span.set_status(Status(StatusCode.ERROR))


class ServerSpans:
    """OpenTelemetry's ASGI middleware, over a scope without path, query and client: its hooks can't remove them."""

    def __init__(self, app: ASGIApp, provider: TracerProvider, routes: Sequence[BaseRoute] = ()) -> None:
        """routes: of the HTTP server. A backend has none: its paths are its APIs."""
        self._app = app
        self._routes = [route for route in routes if isinstance(route, Route)]
        self._middleware = OpenTelemetryMiddleware(
            self._answer,
            default_span_details=lambda scope: (get_default_span_details(scope)[0], scope["route"]),
            tracer_provider=provider,
            exclude_spans=["receive", "send"],
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request inside a span. A call of a backend outside a trace, such as a warm-up, has no span."""
        headers = scope.get("headers", ())
        parent = [each for each in headers if each[0].decode("latin-1") in FIELDS and each[1].isascii()]
        if scope["type"] != "http" or scope["path"] == "/metrics" or not (parent or self._routes):
            await self._app(scope, receive, send)
            return
        matching = (route.path_format for route in self._routes if route.matches(scope)[0] != Match.NONE)
        path = next(matching, "") if self._routes else scope["path"]
        shown = {"method": sanitize_method(scope["method"]), "path": path, "query_string": b"", "client": None}
        route = {"http.route": path} if path else {}
        await self._middleware({**scope, **shown, "headers": parent, "route": route, "original": scope}, receive, send)

    async def _answer(self, shown: Scope, receive: Receive, send: Send) -> None:
        await self._app(shown["original"], receive, send)


class TracedQuery(Query):
    """A query with the span of its request."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.span = trace.get_current_span()


class TracedRecommender(Recommender):
    """Records in the span of a request for slates how they were made."""

    query_kind = TracedQuery

    def _observe(self, made: Sequence[Query], deadline: Deadline, verb: str = "") -> None:
        super()._observe(made, deadline, verb)
        span = trace.get_current_span()
        span.set_attribute("tandem.generation", ",".join(sorted({query.generation.id for query in made})))
        span.set_attribute("tandem.surface", made[0].surface)
        span.set_attribute("tandem.mode", ",".join(sorted({query.made_by for query in made})))
        arms = {f"{name}={arm}" for query in made for name, arm in query.assigned.arms.items()}
        span.set_attribute("tandem.arms", sorted(arms))
        span.set_attribute("tandem.arms_away", sorted({name for query in made for name in query.assigned.away}))
        span.set_attribute("tandem.degraded", sorted({str(stage) for query in made for stage in query.degraded}))


class TracedStage:
    """A stage whose batches have one span each."""

    def __init__(self, stage: Stage, tracer: Tracer, remote: bool) -> None:
        """remote: whether retrieval and ranking are other processes."""
        self._run, self._tracer = stage.run, tracer
        self._kind = SpanKind.CLIENT if remote and stage.name != "hydrate" else SpanKind.INTERNAL
        self.name, self.degraded, self.share = stage.name, stage.degraded, stage.share
        self.is_needed_by, self.put, self.fall_back = stage.is_needed_by, stage.put, stage.fall_back

    async def run(self, queries: Sequence[Query]) -> Sequence[Any]:
        """Run the stage in a span below the first sampled request of the batch, linked with the other requests."""
        spans = {id(query.span): query.span for query in queries if isinstance(query, TracedQuery)}
        sampled = [span for span in spans.values() if span.is_recording()]
        if not sampled:
            with trace.use_span(trace.INVALID_SPAN):  # the current span may be of a request outside the batch
                return await self._run(queries)
        first, *others = sampled
        parent, links = trace.set_span_in_context(first), [Link(other.get_span_context()) for other in others]
        attributes = {"tandem.batch.queries": len(queries)}
        with self._tracer.start_as_current_span(
            self.name, parent, self._kind, attributes, links, record_exception=False, set_status_on_exception=False
        ) as span:
            for other in others:
                other.add_link(span.get_span_context())
            try:
                return await self._run(queries)
            except BaseException as error:
                mark_failed(span, type(error).__name__)
                raise

"""Traces: a span for each request at either door, below it one for each stage, and below that one in the backend.

A batch has one span for each of its requests, so a trace is complete without the traces of other requests. Without an
exporter (`service.telemetry.exporters`) tracing is off and no code here runs in a request: the composition root wraps
doors, stages and calls only if there is a tracer. Names follow OpenTelemetry's semantic conventions. No span has a
user's id, an item's id, or a raw path.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from itertools import zip_longest
from typing import Any
from urllib.parse import quote, unquote

from opentelemetry import propagate, trace
from opentelemetry.context import Context
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import (
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    TraceState,
)

from recsys.store.base import UserState
from service import schema
from service.backends import wire
from service.backends.backends import Backends, Call
from service.recommend.query import Query
from service.recommend.stages import Stage
from service.verbs.recommender import Recommender

QUERIES = "tandem.batch.queries"

_stage_spans: ContextVar[Sequence[tuple[TracedQuery, Span]]] = ContextVar("stage_spans", default=())
"""The queries and spans of the batch that a stage runs now."""

_carried: ContextVar[Sequence[Span]] = ContextVar("carried", default=())
"""The spans that a call to another process is made for."""

TRACES = "x-traceparents"
"""The header of a call with the spans that the call is made for, each in the form of W3C's `traceparent`."""

STATES = "x-tracestates"
"""The header with the `tracestate` of each span, if any has one; quoted, because it may contain a separator."""

STATES_BYTES = 16 << 10
"""Bytes of all of them. Beyond it none is sent, as W3C allows: a head has 64 KiB, and a batch up to 512 spans."""


@dataclass(slots=True, eq=False)
class TracedQuery(Query):
    """A query with the span of its request, if that is sampled."""

    span: Span | None = field(init=False, default=None)
    stage: Span | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        Query.__post_init__(self)  # super() fails here: slots make a new class
        self.span = _sampled()


class TracedRecommender(Recommender):
    """Records in the request's span how its answer was made."""

    query_kind = TracedQuery

    async def recommend(self, request: schema.RecommendRequest, due: float) -> list[Query]:
        """As the recommender's."""
        queries = await super().recommend(request, due)
        _record(queries[0].generation.id, [query.degraded for query in queries], [query.made_by for query in queries])
        return queries

    async def similar(self, request: schema.SimilarRequest, due: float) -> schema.SimilarResponse:
        """As the recommender's."""
        answer = await super().similar(request, due)
        _record(answer.generation, [answer.degraded])
        return answer

    async def explain(self, request: schema.ExplainRequest, due: float) -> schema.ExplainResponse:
        """As the recommender's."""
        answer = await super().explain(request, due)
        _record(answer.generation, [answer.degraded], [answer.mode])
        return answer


def _record(generation: str, degraded: Iterable[Sequence[str]], modes: Sequence[str] = ()) -> None:
    """Record generation, missing stages and modes of the answers in the request's span."""
    span = _sampled()
    if span is None:
        return
    span.set_attribute("tandem.generation", generation)
    span.set_attribute("tandem.degraded", sorted({str(stage) for each in degraded for stage in each}))
    if modes:
        span.set_attribute("tandem.mode", ",".join(sorted(set(map(str, modes)))))


class Tracer:
    """Makes the spans of a process, and wraps stages and calls in spans."""

    def __init__(self, provider: TracerProvider, hops: bool = True) -> None:
        """hops: whether retrieval and ranking are other processes."""
        self._provider = provider
        self._tracer = provider.get_tracer("tandem")
        self._asks = SpanKind.CLIENT if hops else SpanKind.INTERNAL

    def close(self) -> None:
        """Export the last spans and make no more."""
        self._provider.shutdown()

    @contextmanager
    def request(self, name: str, carrier: Mapping[str, str], attributes: Mapping[str, str]) -> Iterator[Span]:
        """The span of a request, below the span that its headers name."""
        # Nothing reads baggage, and OpenTelemetry logs the text of invalid baggage.
        above = propagate.extract({name: value for name, value in carrier.items() if name != "baggage"})
        span = self._tracer.start_span(name, above, SpanKind.SERVER, attributes)
        with trace.use_span(span, end_on_exit=True, record_exception=False, set_status_on_exception=False):
            yield span

    def stage(self, stage: Stage) -> Stage:
        """Wrap a stage, so that its batches have spans."""
        kind = SpanKind.INTERNAL if stage.name == "hydrate" else self._asks
        return _TracedStage(stage, self._tracer, kind)

    def backends(self, backends: Backends) -> Backends:
        """Wrap calls: a call of a stage carries the stage's spans, any other call has a span of its own."""
        return replace(
            backends,
            retrieve=_for_stage(backends.retrieve, lambda query: query.made_by != schema.Mode.HYBRID),
            complete=_for_stage(backends.complete, lambda query: query.made_by == schema.Mode.HYBRID),
            rank=_for_stage(backends.rank, lambda _: True),
            similar=self._alone("similar", backends.similar),
            place=self._alone("place", backends.place),
            explain=self._alone("explain", backends.explain),
        )

    @contextmanager
    def serving(self, name: str, parents: bytes, queries: int, states: bytes = b"") -> Iterator[Sequence[Span]]:
        """The server spans of a call, one for each request of its batch; parents, states: by `headers`."""
        attributes: dict[str, str | int] = {QUERIES: queries, "rpc.method": name}
        above = [trace.set_span_in_context(NonRecordingSpan(each), Context()) for each in _contexts(parents, states)]
        spans = [self._tracer.start_span(name, each, SpanKind.SERVER, attributes) for each in above]
        try:
            yield spans
        except BaseException as error:
            for span in spans:
                mark_broken(span, type(error).__name__)
            raise
        finally:
            for span in spans:
                span.end()

    def _alone(self, name: str, call: Call) -> Call:
        async def traced(rows: Any) -> Any:
            if _sampled() is None:
                return await call(rows)
            with self._tracer.start_as_current_span(name, kind=self._asks, record_exception=False) as span:
                token = _carried.set([span])
                try:
                    return await call(rows)
                finally:
                    _carried.reset(token)

        return traced


class _TracedStage:
    """A stage, with a span below each request of a batch."""

    def __init__(self, stage: Stage, tracer: trace.Tracer, kind: SpanKind) -> None:
        self._stage = stage
        self._tracer = tracer
        self._kind = kind
        self.name, self.degraded, self.share = stage.name, stage.degraded, stage.share
        self.wants, self.put = stage.wants, stage.put

    async def run(self, queries: Sequence[Query]) -> Sequence[Any]:
        """Run the stage in spans; several queries of one request share one."""
        spans = self._begun(queries)
        if not spans:
            return await self._stage.run(queries)
        _stage_spans.set(spans)  # in the context of the task that runs the batch
        try:
            found = await self._stage.run(queries)
            of_query = {id(query): span for query, span in spans}
            for query, one in zip(queries, found, strict=True):
                if id(query) in of_query and _is_failed(one):
                    mark_broken(of_query[id(query)], "failed")
            return found
        except BaseException as error:
            for _, span in spans:
                mark_broken(span, type(error).__name__)
            raise
        finally:
            for _, span in spans:
                _end(span)

    def fall_back(self, query: Query) -> None:
        """End the span of a query whose deadline passed."""
        if isinstance(query, TracedQuery) and query.stage is not None:
            mark_broken(query.stage, "late")
            _end(query.stage)
        self._stage.fall_back(query)

    def _begun(self, queries: Sequence[Query]) -> list[tuple[TracedQuery, Span]]:
        spans: list[tuple[TracedQuery, Span]] = []
        of_request: dict[int, Span] = {}
        for query in queries:
            if not isinstance(query, TracedQuery):  # a warm-up query
                continue
            query.stage = None
            if query.span is None:
                continue
            if (span := of_request.get(id(query.span))) is None:
                above = trace.set_span_in_context(query.span, Context())
                span = self._tracer.start_span(self.name, above, self._kind, {QUERIES: len(queries)})
                of_request[id(query.span)] = span
            query.stage = span
            spans.append((query, span))
        return spans


def mark_broken(span: Span, why: str) -> None:
    """Set a span's status to error; why: one word, because an error's message may contain an id."""
    if span.is_recording():
        span.set_attribute("error.type", why)
        span.set_status(Status(StatusCode.ERROR))


def _end(span: Span) -> None:
    if span.is_recording():  # otherwise `fall_back` has ended it
        span.end()


def _is_failed(found: Any) -> bool:
    """Whether a stage failed for one query: the store lost the user, or the row is marked as failed."""
    return found.lost if isinstance(found, UserState) else wire.has_failed(found)


def _for_stage(call: Call, wants: Callable[[Query], bool]) -> Call:
    async def traced(rows: Any) -> Any:
        spans = {id(span): span for query, span in _stage_spans.get() if wants(query)}
        token = _carried.set(list(spans.values()))
        try:
            return await call(rows)
        finally:
            _carried.reset(token)

    return traced


def headers() -> dict[str, str]:
    """The headers that name the spans of a call; none if no span is sampled."""
    contexts = [span.get_span_context() for span in _carried.get()]
    if not contexts:
        return {}
    spans = " ".join(f"00-{context.trace_id:032x}-{context.span_id:016x}-01" for context in contexts)
    of_each = [quote(context.trace_state.to_header()) for context in contexts]
    states = ";".join(of_each) if any(of_each) else ""
    return {TRACES: spans} | ({STATES: states} if 0 < len(states) <= STATES_BYTES else {})


def _contexts(told: bytes, states: bytes) -> Iterator[SpanContext]:
    parents = told.decode("ascii").split()
    of_each = states.decode("ascii").split(";") if states else []
    for each, state in zip_longest(parents, of_each[: len(parents)], fillvalue=""):
        _, trace_id, span_id, flags = each.split("-")
        above = TraceState.from_header([unquote(state)])
        yield SpanContext(int(trace_id, 16), int(span_id, 16), True, TraceFlags(int(flags, 16)), above)


def _sampled() -> Span | None:
    """The current span, if it will be exported."""
    span = trace.get_current_span()
    return span if span.get_span_context().trace_flags.sampled and span.is_recording() else None

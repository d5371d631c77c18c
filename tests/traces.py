"""Spans as they are exported, and what a caller says of its own."""

from opentelemetry.sdk.trace import TracerProvider, sampling
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from service.telemetry.tracing import Tracer

TRACE, ABOVE = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
SAMPLED, UNSAMPLED = ({"traceparent": f"00-{TRACE}-{ABOVE}-{flags}"} for flags in ("01", "00"))
WHO = "mary@example.com"


class Traces:
    """Spans as they are exported."""

    def __init__(self, sampler=sampling.ParentBased(sampling.ALWAYS_ON)):  # noqa: B008 - a constant
        self._exporter = InMemorySpanExporter()
        self.provider = TracerProvider(sampler=sampler)
        self.provider.add_span_processor(SimpleSpanProcessor(self._exporter))
        self.tracer = Tracer(self.provider)

    @property
    def spans(self):
        return self._exporter.get_finished_spans()

    def taken(self):
        """All there are, and forgets them."""
        spans = self.spans
        self._exporter.clear()
        return spans

    def one(self):
        (span,) = self.taken()
        return span

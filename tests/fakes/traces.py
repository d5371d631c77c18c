"""Records OpenTelemetry spans (timed steps of a request) in memory, for tests of tracing.

It also has the trace headers that a caller sends.
"""

from opentelemetry import propagate
from opentelemetry.sdk.trace import TracerProvider, sampling
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind

TRACE, ABOVE = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
SAMPLED, UNSAMPLED = ({"traceparent": f"00-{TRACE}-{ABOVE}-{flags}"} for flags in ("01", "00"))
WHO = "mary@example.com"


class Traces:
    """A tracer provider, and the spans that it exported."""

    def __init__(self):
        self._exporter = InMemorySpanExporter()
        self.provider = TracerProvider(sampler=sampling.ParentBased(sampling.ALWAYS_ON))
        self.provider.add_span_processor(SimpleSpanProcessor(self._exporter))
        self.tracer = self.provider.get_tracer("tests")

    @property
    def spans(self):
        return self._exporter.get_finished_spans()

    def taken(self):
        """Return the spans and remove them."""
        spans = self.spans
        self._exporter.clear()
        return spans

    def one(self):
        (span,) = self.taken()
        return span

    def request(self, name, headers):
        """The current span of a request."""
        return self.tracer.start_as_current_span(name, propagate.extract(headers), SpanKind.SERVER)

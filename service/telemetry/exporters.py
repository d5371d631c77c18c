"""The exporters of traces: OpenTelemetry's tracer provider of a process, set by the standard OTEL_* variables."""

from __future__ import annotations

import io
import logging
import os
import threading
from collections.abc import Callable
from importlib.metadata import entry_points
from typing import Any

from opentelemetry.sdk.resources import SERVICE_NAME, OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter, SpanExporter

from recsys.errors import SettingsError
from service.telemetry.throttled_logger import ThrottledLogger

VARIABLE = "OTEL_TRACES_EXPORTER"
GROUP = "opentelemetry_traces_exporter"  # the entry points of packages with exporters

OTLP = {"http/protobuf": "otlp_proto_http", "grpc": "otlp_proto_grpc"}
"""The registered name of the exporter `otlp` for each protocol; without a protocol the first installed one."""

CLOSE_SECONDS = 2.0
"""Time for the export of the last spans when a process stops; an exporter itself retries for 10 s."""

MOST_LOGGED = 200
"""Characters of a message of OpenTelemetry's that are logged."""


class _Throttled(logging.Handler):
    """Logs the warnings of OpenTelemetry, at most one line a minute: an exporter warns of each attempt."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._failed = ThrottledLogger("OpenTelemetry: %s.")

    def emit(self, record: logging.LogRecord) -> None:
        """Log a warning, or count it."""
        self._failed.warn(record.getMessage()[:MOST_LOGGED].rstrip("."))


def provider(service: str, setting: str) -> TracerProvider | None:
    """The tracer provider, or None if traces are off. service: its name in traces, unless OTEL_SERVICE_NAME is set."""
    exporters = check(setting)
    if not exporters or os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return None
    os.environ.setdefault("OTEL_SEMCONV_STABILITY_OPT_IN", "http")  # otherwise attributes have the names of before 2023
    logging.getLogger("opentelemetry").addHandler(_Throttled())
    logging.getLogger("opentelemetry").propagate = False
    made = TracerProvider(
        shutdown_on_exit=False, resource=Resource.create({SERVICE_NAME: service}).merge(OTELResourceDetector().detect())
    )
    for exporter in exporters:
        made.add_span_processor(BatchSpanProcessor(exporter()))
    return made


def close(traces: TracerProvider) -> None:
    """Export the last spans, for CLOSE_SECONDS at most; spans that a collector does not take by then are lost."""
    closing = threading.Thread(target=traces.shutdown, name="close-traces", daemon=True)
    closing.start()
    closing.join(CLOSE_SECONDS)


def check(setting: str) -> list[Callable[[], SpanExporter]]:
    """The exporters of a setting, names with commas between; SettingsError for one that is not installed."""
    names = (name.strip().lower() for name in setting.split(","))
    return [_exporter(name) for name in names if name not in ("", "none")]


def _exporter(name: str) -> Any:
    if name == "console":
        return _console
    protocol = os.getenv("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL") or os.getenv("OTEL_EXPORTER_OTLP_PROTOCOL")
    otlp = [registered for each, registered in OTLP.items() if protocol in (None, "", each)]
    for registered in otlp if name == "otlp" else [name]:
        for found in entry_points(group=GROUP, name=registered):
            return found.load()
    fix = "pip install its package, for otlp opentelemetry-exporter-otlp-proto-http or -proto-grpc (docs/tracing.md)"
    raise SettingsError(f"{VARIABLE}={name} needs an exporter that is not installed; {fix}, or choose console.")


def _console() -> SpanExporter:
    """One line of JSON a span, each in one write, because several processes write to one standard output."""
    out = io.TextIOWrapper(io.FileIO(1, "w", closefd=False), encoding="utf-8", write_through=True)
    return ConsoleSpanExporter(out=out, formatter=lambda span: span.to_json(indent=None) + "\n")
